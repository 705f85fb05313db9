"""Run the cells of changed pages before Sphinx reads them, into a cache that knows the package.

A run is found by the page's cells alone (see `runs`), so that an edit in `mlpinit` would leave old
figures on the page. So the cache's folder is named after everything else that a figure depends on.
Running the pages beforehand also keeps all cores busy to the end.
"""

from __future__ import annotations

import atexit
import hashlib
import importlib.metadata
import os
import platform
import re
import shutil
import sys
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sphinx.errors import ExtensionError

from book_build import runs
from book_build.environment import KERNEL_ENVIRONMENT

if TYPE_CHECKING:
    from nbformat import NotebookNode
    from sphinx.application import Sphinx
    from sphinx.config import Config
    from sphinx.environment import BuildEnvironment

__all__ = [
    "choose_cache",
    "executed",
    "figures_digest",
    "run_changed",
    "run_of",
]

KEPT_CACHES = 2
FULL = "MLPINIT_FULL"  # recorded runs are trained again to their end: see `mlpinit.records.replay`
LONGEST = 7200  # seconds that a cell may take then
IN_THE_PAGE = {".js", ".css"}  # the labs', which no cell reads: pages load them
EVIDENCE = "evidence"  # what was found from other draws, which no cell reads


def figures_digest(root: Path) -> str:
    """Hash what figures depend on besides their cells: package and data, packages, Python."""
    package = (p for p in (root / "mlpinit").rglob("*") if "__pycache__" not in p.parts)
    package = (p for p in package if p.suffix not in IN_THE_PAGE and EVIDENCE not in p.parts)
    digest = hashlib.sha256(f"{sys.version} {sorted(KERNEL_ENVIRONMENT.items())}".encode())
    digest.update(os.environ.get(FULL, "").encode())
    for path in sorted(p for p in [*package, root / "requirements.txt"] if p.is_file()):
        digest.update(f"\n{path.relative_to(root).as_posix()}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def choose_cache(app: Sphinx, config: Config) -> None:
    """Name the execution cache after the digest, and drop all but the newest."""
    caches = Path(app.outdir).parent / "executed"
    cache = caches / figures_digest(Path(app.srcdir))
    cache.mkdir(parents=True, exist_ok=True)
    os.utime(cache)
    for old in sorted(caches.iterdir(), key=lambda p: p.stat().st_mtime)[:-KEPT_CACHES]:
        shutil.rmtree(old)
    config.nb_execution_cache_path = str(cache)
    if os.environ.get(FULL):
        config.nb_execution_timeout = LONGEST


@dataclass
class Page:
    """A page with cells that are not in the cache yet.

    - `seconds`, `memory`: what its run took; of memory the kernel's peak after any cell, in bytes
    - `again`: whether a kernel that does not start gets a second chance
    """

    docname: str
    path: Path
    notebook: NotebookNode
    read_fmt: dict[str, Any] | None
    seconds: float = 0.0
    memory: int = 0
    again: bool = field(default=True, repr=False)
    client: Any = field(default=None, repr=False)

    def run(self, timeout: int) -> Page:
        """Execute the cells in a kernel of their own, in the page's folder.

        One that does not start gets a second chance: another process may have taken its port.
        """
        start = time.perf_counter()
        try:
            self.execute(timeout)
        except Exception:
            if not self.again:
                raise
            self.execute(timeout)
        self.seconds = time.perf_counter() - start
        return self

    def execute(self, timeout: int) -> None:
        """Start a kernel, and execute the cells."""
        # Half a second, seldom needed.
        from nbclient import NotebookClient  # noqa: PLC0415

        from book_build.warm import use_warm_kernel  # noqa: PLC0415

        self.client = NotebookClient(
            self.notebook,
            timeout=timeout,
            resources={"metadata": {"path": str(self.path.parent)}},
            record_timing=False,
            extra_arguments=["--log-level=40"],  # a kernel's notes to itself stay off the terminal
            on_notebook_start=self.note_start,
            on_cell_executed=self.note_memory,
        )
        use_warm_kernel(self.client)
        try:
            self.client.execute()
        finally:  # or it cleans up once more when the build ends, and finds nothing
            atexit.unregister(self.client._cleanup_kernel)

    def note_start(self, **_notebook: Any) -> None:
        """Note that the kernel answers: what it ends with from now on is the page's own."""
        self.again = False

    def note_memory(self, **_cell: Any) -> None:
        """Look how much the kernel has had at most."""
        self.memory = max(self.memory, resident_peak(self.client.km.provisioner.pid))

    def stop(self) -> None:
        """Kill the kernel, which ends `run` in its thread."""
        self.again = False
        with suppress(Exception):
            os.kill(self.client.km.provisioner.pid, 9)


def resident_peak(pid: int) -> int:
    """Return the most memory that a process has had, in bytes; off Linux what it has now."""
    with suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        if mark := re.search(r"VmHWM:\s+(\d+) kB", status):
            return int(mark[1]) * 1024
    import psutil  # noqa: PLC0415 (seldom needed)

    with suppress(psutil.Error):
        return psutil.Process(pid).memory_info().rss
    return 0


def run_changed(app: Sphinx, env: BuildEnvironment, docnames: list[str]) -> None:
    """Execute, two at a time or as `-j` says, the pages about to be read whose cells have changed.

    The first failing cell stops the others and the build.
    """
    candidates = [page for name in docnames if (page := read_page(env, name)) is not None]
    if not candidates:
        note_runs(env, None, docnames, [])
        return
    cache = Path(env.mystnb_config.execution_cache_path)
    pages = [page for page in candidates if runs.find(cache, page.notebook) is None]
    # Later chapters run longer: begin with them, so that none is left alone at the end.
    pages.sort(key=lambda page: page.docname, reverse=True)

    with ThreadPoolExecutor(max(1, app.parallel)) as pool:
        timeout = env.mystnb_config.execution_timeout
        running = {pool.submit(page.run, timeout): page for page in pages}
        try:
            while running:
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    page = running.pop(done)
                    done_or_raise(page, done.exception())
                    about = {"memory": page.memory, "machine": machine()}
                    runs.keep(cache, page.notebook, seconds=page.seconds, **about)
                    print(f"ran {page.docname} in {page.seconds:.1f} s", flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for page in running.values():
                page.stop()
            raise
    note_runs(env, cache, docnames, candidates)


def note_runs(
    env: BuildEnvironment, cache: Path | None, docnames: list[str], pages: list[Page]
) -> None:
    """Keep with Sphinx's environment which stored run each page shows, and what is known of it."""
    known = getattr(env, "book_runs", {})
    shown = {name: run for name, run in known.items() if name in env.found_docs}
    for name in docnames:
        shown.pop(name, None)
    for page in pages:
        about = dict(runs.find(cache, page.notebook).metadata.run)
        shown[page.docname] = {"key": runs.key_of(page.notebook), **about}
    env.book_runs = shown


def run_of(env: BuildEnvironment, docname: str) -> dict[str, Any] | None:
    """Return what is known of the run that a page shows; None for a page of prose."""
    return getattr(env, "book_runs", {}).get(docname)


def executed(env: BuildEnvironment, docname: str) -> NotebookNode:
    """Return the code cells of a page with their outputs, as they were stored."""
    return runs.read(Path(env.mystnb_config.execution_cache_path), run_of(env, docname)["key"])


def machine() -> dict[str, str]:
    """Tell what cells run on here: the kind of machine, and the versions that figures depend on."""
    version = importlib.metadata.version
    packages = {name: version(name) for name in ("torch", "numpy", "matplotlib")}
    system = f"{platform.system()} on {platform.machine()}"
    return {
        "system": system,
        "processors": str(os.cpu_count()),
        "Python": platform.python_version(),
        **packages,
    }


def read_page(env: BuildEnvironment, docname: str) -> Page | None:
    """Read a page's cells as MyST-NB will; None for a page of prose."""
    from myst_nb.core.read import create_nb_reader  # noqa: PLC0415 (loaded by Sphinx by now)

    path = Path(env.doc2path(docname))
    text = path.read_text(encoding="utf-8")
    reader = create_nb_reader(str(path), env.myst_config, env.mystnb_config, text)
    if reader is None:
        return None
    notebook = reader.read(text)
    if not any(cell.cell_type == "code" for cell in notebook.cells):
        return None
    return Page(docname, path, notebook, reader.read_fmt)


def done_or_raise(page: Page, error: BaseException | None) -> None:
    """Raise a failing cell's traceback under the page's name."""
    from myst_nb.core.render import strip_ansi  # noqa: PLC0415 (loaded by Sphinx by now)

    if error is not None:
        text = getattr(error, "traceback", None) or f"{type(error).__name__}: {error}"
        raise ExtensionError(f"{page.docname}: a cell failed\n{strip_ansi(str(text))}")
