# `make book` builds the book, `make test` checks it; both prepare .venv first. `make help` lists the rest.
# Works with GNU make 3.81 (macOS) and any POSIX shell.

PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
# Anything: recorded runs are trained again to their end, not for their first part.
FULL ?=
export MLPINIT_FULL := $(FULL)
TESTERS ?= 2
PORT ?= 8000
SOLUTIONS ?= 1
REMOTE ?= $(shell git remote get-url origin 2>/dev/null)

# Windows' virtual environments have their own layout; there this wants Git's shell (`make` in Git Bash).
python_of = $(1)/$(if $(filter Windows_NT,$(OS)),Scripts/python.exe,bin/python)
PY := $(call python_of,$(VENV))
PIP := "$(PY)" -m pip --disable-pip-version-check --no-input
# torch without CUDA, by pip, which keeps to the user's own settings; uv, which does not read them, downloads the
# rest side by side. Neither compiles what it installs: Python does, at the first import, and is to keep it even
# where the shell tells it not to.
export PYTHONDONTWRITEBYTECODE :=
TORCH_OPTIONS = $$($(PYTHON) binder/torch_index.py)
UV := "$(dir $(PY))uv"

# The stamps name the content they stand for, so that a checkout's dates do not matter. They are written
# last, so that whatever was interrupted is made again from nothing; a .venv whose Python has gone has none.
checksum = $(shell cat $(1) 2>/dev/null | cksum | cut -d ' ' -f 1)
INSTALLED := $(VENV)/.installed-$(call checksum,requirements.txt)
PACKAGE := $(VENV)/.package-$(call checksum,requirements.txt pyproject.toml)
ifneq ($(shell test -x "$(PY)" && echo usable),usable)
.PHONY: $(INSTALLED) $(PACKAGE)
endif

# The package with a torch of one's choice, in an environment of its own; the other packages are pip's choice.
ifdef TORCH
LOOSE := _build/package-venv
LOOSE_PY := $(call python_of,$(LOOSE))
endif

# A file's tests share what they set up, so a file stays in one process; the dearest files come first.
SIDE_BY_SIDE := -n $(TESTERS) --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help book test check survey mutants test-package test-integrations lab pdf terms links site publish serve bench bench-build bench-pages bench-watch bench-peers bench-models wild bench-labs bench-playground records evidence dist gradescope lock clean distclean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' Makefile | awk -F '|' '{ printf "%-20s %s\n", $$1, $$2 }'

$(INSTALLED):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "$(PYTHON) is missing or older than Python 3.11. Name another: make book PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) lacks venv or ensurepip; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "Installing the pinned packages into $(VENV) (once; some minutes)"
	@rm -rf "$(VENV)"
	@$(PYTHON) -m venv "$(VENV)"
	@$(PIP) install -qq --no-compile $(TORCH_OPTIONS) "$$(grep '^torch==' requirements.txt)"
	@{ $(PIP) install -qq --no-compile "$$(grep '^uv==' requirements.txt)" && \
		$(UV) pip install --quiet --python "$(PY)" --requirement requirements.txt; } || { \
		echo "uv could not install them; pip does, in more time"; \
		$(PIP) install -qq --requirement requirements.txt; }
	@touch "$@"

$(PACKAGE): $(INSTALLED)
	@$(PIP) install -qq --no-compile --no-deps --no-build-isolation --editable .
	@touch "$@"

book: $(PACKAGE)  ## build the book and print the page to open (SOLUTIONS=0 leaves those out; FULL=1 replays records whole)
	@PYTHONPATH=book/web/ext "$(PY)" -m book_build --jobs $(JOBS) --solutions $(SOLUTIONS)

test: $(PACKAGE)  ## lint, then test all that a change can break (TESTERS=2 processes)
	@"$(PY)" -m ruff check
	@"$(PY)" -m ruff format --check
	@VENV="$(abspath $(VENV))" "$(PY)" -m pytest --cov -m "not survey and not mutants" $(SIDE_BY_SIDE)

check: $(PACKAGE)  ## grade your answers in book/exercises (EX=7.1 one of them, EX=7 a chapter's)
	@"$(PY)" -m pytest tests/exercises -k "$(EX)"

survey: $(PACKAGE)  ## test the rest: every page in four views, the PDF, what Binder installs
	@VENV="$(abspath $(VENV))" "$(PY)" -m pytest -m survey $(SIDE_BY_SIDE) tests/book

mutants: $(PACKAGE)  ## alter the chapters' experiments, two claims a chapter, and see the claims fail (half an hour)
	@"$(PY)" -m pytest -m mutants $(SIDE_BY_SIDE) tests/book/test_mutation.py

ifdef TORCH
test-package:
	@rm -rf "$(LOOSE)" && $(PYTHON) -m venv "$(LOOSE)"
	@"$(LOOSE_PY)" -m pip install -qq $(TORCH_OPTIONS) "$(TORCH)"
	@"$(LOOSE_PY)" -m pip install -qq --editable ".[test]"
	@"$(LOOSE_PY)" -c 'import numpy, sys, torch; print("Python", sys.version.split()[0], "torch", torch.__version__, "numpy", numpy.__version__)'
	@"$(LOOSE_PY)" -m pytest tests/package mlpinit --ignore=mlpinit/grading
else
test-package: $(PACKAGE)  ## test the package alone (TORCH="torch==2.4.*" tries that one, elsewhere than in .venv)
	@"$(PY)" -m pytest tests/package mlpinit --ignore=mlpinit/grading
endif

# The trainers that mlpinit.integrations works with, at versions of their own, in an environment of their own.
TRAINERS := _build/integrations-venv
TRAINERS_PY := $(call python_of,$(TRAINERS))
TRAINERS_INSTALLED := $(TRAINERS)/.installed-$(call checksum,tests/integrations/requirements.txt)

$(TRAINERS_INSTALLED): $(INSTALLED)
	@echo "Installing Lightning, transformers, fastai and their loggers into $(TRAINERS) (once; half a minute)"
	@rm -rf "$(TRAINERS)"
	@$(PYTHON) -m venv "$(TRAINERS)"
	@{ "$(TRAINERS_PY)" -m pip --disable-pip-version-check --no-input install -qq --no-compile $(TORCH_OPTIONS) \
		"$$(grep '^torch==' tests/integrations/requirements.txt)" && \
		$(UV) pip install --quiet --no-deps --python "$(TRAINERS_PY)" --requirement tests/integrations/requirements.txt; } || { \
		echo "The trainers could not be installed, and nothing was tested: this needs a network, once"; exit 1; }
	@touch "$@"

test-integrations: $(TRAINERS_INSTALLED)  ## test the callbacks in Lightning, Hugging Face's Trainer and fastai themselves
	@"$(TRAINERS_PY)" -m pytest -c tests/integrations/pytest.ini tests/integrations

lab: $(PACKAGE)  ## open the book's chapters in JupyterLab (PAGE=book/part1/corpus.md opens that one; LAB="..." are options of its own)
	@JUPYTER_CONFIG_PATH="$(CURDIR)/book/web/jupyter:$$JUPYTER_CONFIG_PATH" JUPYTER_PREFER_ENV_PATH=1 \
		"$(PY)" -m jupyter lab --notebook-dir=book $(LAB) $(PAGE)

pdf: book  ## print the whole book to _build/pdf (needs Chromium, Chrome or Edge)
	@PYTHONPATH=book/web/ext "$(PY)" -m book_build.pdf

terms: $(PACKAGE)  ## list terms that the book uses before it defines them
	@PYTHONPATH=book/web/ext "$(PY)" -m book_build.terms

links: $(PACKAGE)  ## build the book and try every link that leads out of it (needs a network)
	@PYTHONPATH=book/web/ext "$(PY)" -m book_build --jobs $(JOBS) --solutions $(SOLUTIONS) --links

site: book pdf  ## gather what is published in _build/site: the pages, the notebooks, the PDF
	@rm -rf _build/site && cp -R _build/html _build/site && cp _build/pdf/*.pdf _build/site
	@echo "Gathered in _build/site"

publish:  ## push _build/site as the only commit of the branch gh-pages (REMOTE=origin's address)
	@test -f _build/site/index.html || { echo "There is nothing to publish: make site comes first"; exit 1; }
	@rm -rf _build/publish && cp -R _build/site _build/publish && touch _build/publish/.nojekyll
	@cd _build/publish && git init -q -b gh-pages && git add --all --force && \
		git commit -q -m "The book, built from $$(git -C "$(CURDIR)" rev-parse HEAD)" && \
		git push --quiet --force "$(REMOTE)" gh-pages
	@echo "Published on the branch gh-pages of $(REMOTE)"

serve: book  ## serve the built book on http://localhost:8000 (PORT=...)
	@"$(PY)" -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

bench: $(PACKAGE)  ## measure training against the plain loop
	@"$(PY)" benchmarks/training.py

bench-build: $(PACKAGE)  ## measure the book's build: time, weight of pages
	@"$(PY)" benchmarks/build.py

bench-pages: book  ## measure the pages in Chromium: weight of a first view, time to interactive
	@"$(PY)" benchmarks/pages.py

bench-watch: $(PACKAGE)  ## measure watching a model, beside other tools where they are installed
	@"$(PY)" benchmarks/watch.py

PEERS := _build/peers-venv
PEERS_PY := $(call python_of,$(PEERS))
bench-peers:  ## install other tools that look for dead units, compare them, record the table in benchmarks/peers.md
	@rm -rf "$(PEERS)" && $(PYTHON) -m venv "$(PEERS)"
	@"$(PEERS_PY)" -m pip install -qq $(TORCH_OPTIONS) "$$(grep '^torch==' requirements.txt)"
	@"$(PEERS_PY)" -m pip install -qq --requirement benchmarks/peers.txt --editable .
	@OMP_NUM_THREADS=1 "$(PEERS_PY)" benchmarks/watch.py --record benchmarks/peers.md

MODELS := _build/models-venv
MODELS_PY := $(call python_of,$(MODELS))
bench-models:  ## install torchvision, timm and transformers, and count what can be removed in their models
	@rm -rf "$(MODELS)" && $(PYTHON) -m venv "$(MODELS)"
	@"$(MODELS_PY)" -m pip install -qq $(TORCH_OPTIONS) "$$(grep '^torch==' requirements.txt)"
	@"$(MODELS_PY)" -m pip install -qq $(TORCH_OPTIONS) --requirement benchmarks/models.txt --editable .
	@OMP_NUM_THREADS=1 "$(MODELS_PY)" benchmarks/models.py

WILD := _build/wild-venv
WILD_PY := $(call python_of,$(WILD))
# The recordings of speech come with the source of pocketsphinx, which is unpacked and not built.
wild:  ## install published networks, audit them, record what was found (MODEL=facebook/opt-125m audits that one of the Hub instead)
	@rm -rf "$(WILD)" && $(PYTHON) -m venv "$(WILD)"
	@"$(WILD_PY)" -m pip install -qq $(TORCH_OPTIONS) "$$(grep '^torch==' requirements.txt)"
	@"$(WILD_PY)" -m pip install -qq --editable .
ifdef MODEL
	@"$(WILD_PY)" -m pip install -qq "$$(grep '^transformers==' benchmarks/models.txt)"
	@"$(WILD_PY)" benchmarks/wild.py --hugging-face "$(MODEL)"
else
	@"$(WILD_PY)" -m pip install -qq --no-deps --requirement benchmarks/wild.txt
	@"$(WILD_PY)" -m pip download -qq --no-deps --no-binary pocketsphinx --dest _build/wild-speech pocketsphinx==5.1.1
	@tar -xzf _build/wild-speech/pocketsphinx-5.1.1.tar.gz -C _build/wild-speech
	@OMP_NUM_THREADS=2 "$(WILD_PY)" benchmarks/wild.py --speech _build/wild-speech/pocketsphinx-5.1.1/test/data
endif

bench-labs: $(PACKAGE)  ## measure how fast the init lab follows its sliders
	@PYTHONPATH=book/web/ext "$(PY)" benchmarks/labs.py

bench-playground: book  ## measure how fast the playground trains, beside the plain PyTorch loop
	@PYTHONPATH=book/web/ext "$(PY)" benchmarks/playground.py

records: $(PACKAGE)  ## make the runs of the ladder and of plasticity that are not recorded yet (JOBS=..., DASK=address or local)
	@"$(PY)" -m mlpinit.records --jobs $(JOBS) $(if $(DASK),--dask $(DASK))
	@"$(PY)" -m mlpinit.lab.ladder
	@"$(PY)" -m mlpinit.plasticity --jobs $(JOBS)

evidence: $(PACKAGE)  ## run stale pages on ten sets of draws and keep how their claims fare (PAGES="removing gain", JOBS=..., DASK=...)
	@PYTHONPATH=book/web/ext:. "$(PY)" -m book_build.redraws $(PAGES) --jobs $(JOBS) $(if $(DASK),--dask $(DASK))

# By setuptools, which is here, and not by `build`, which is not; the wheel is made from the sdist, as a stranger makes it.
dist: $(PACKAGE)  ## build the sdist and the wheel in _build/dist, and run README's first program from the wheel alone
	@rm -rf _build/dist _build/dist-venv && mkdir -p _build/dist
	@"$(PY)" tests/project/packing.py _build/dist
	@$(PYTHON) -m venv _build/dist-venv
	@"$(call python_of,_build/dist-venv)" -m pip install -qq $(TORCH_OPTIONS) "$$(grep '^torch==' requirements.txt)"
	@"$(call python_of,_build/dist-venv)" -m pip install -qq _build/dist/*.whl
	@"$(PY)" tests/project/packing.py --program | (cd _build/dist-venv && "$(abspath $(call python_of,_build/dist-venv))" -)
	@echo "Built in _build/dist: $$(ls _build/dist | tr '\n' ' ')"

gradescope: $(PACKAGE)  ## pack _build/autograder.zip for Gradescope
	@rm -rf _build/autograder && mkdir -p _build/autograder
	@cp -R gradescope/setup.sh gradescope/run_autograder binder/torch_index.py mlpinit pyproject.toml README.md LICENSE LICENSE-text _build/autograder
	@grep '^torch==' requirements.txt > _build/autograder/torch.txt
	@find _build/autograder -name __pycache__ -prune -exec rm -rf {} +
	@cd _build/autograder && "$(abspath $(PY))" -m zipfile -c ../autograder.zip *
	@echo "Upload _build/autograder.zip"

lock:  ## resolve requirements.txt, and Binder's, anew from pyproject.toml
	@$(PYTHON) -m venv _build/lock && _build/lock/bin/python -m pip install --quiet uv
	@_build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
		--no-header --no-annotate --no-emit-index-url --upgrade \
		--extra book --extra test pyproject.toml --output-file _build/lock/all.txt
	@{ echo '# Made by `make lock`: what the book is built and tested with, on Linux, macOS and Windows,'; \
	   echo '# Python 3.11 to 3.13. CUDA packages are left out: the book needs the CPU build of torch only.'; \
	   grep -vE '^(cuda-|nvidia-|triton=)' _build/lock/all.txt; } > _build/lock/requirements.txt
	@_build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate \
		--no-emit-index-url --constraint _build/lock/requirements.txt \
		--extra lab pyproject.toml --output-file _build/lock/lab.txt
	@{ echo '# Made by `make lock`: the lines of requirements.txt that running a chapter takes; torch, which'; \
	   echo '# is to come from its own index, and the package are installed by postBuild.'; \
	   awk -F == 'NR == FNR { needed[$$1] = $$1 != "torch"; next } needed[$$1]' \
		_build/lock/lab.txt _build/lock/requirements.txt; } > _build/lock/binder.txt
	@mv _build/lock/requirements.txt requirements.txt
	@mv _build/lock/binder.txt binder/requirements.txt

clean:  ## remove what was built, the execution cache too
	@rm -rf _build

distclean: clean  ## remove .venv as well
	@rm -rf "$(VENV)"
