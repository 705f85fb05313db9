"""Small copies of the project that a test may break."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

ROOT = Path(__file__).resolve().parents[2]
VENV = Path(os.environ.get("VENV", ROOT / ".venv"))
COPIED = ("Makefile", "pyproject.toml", "requirements.txt", "_config.yml")

TOC = """\
format: jb-book
root: book/index
parts:
  - caption: First
    numbered: 2
    chapters: [{file: book/prose}]
  - caption: Second
    numbered: 2
    chapters: [{file: book/chapter}]
"""
INDEX = "# Home\n\nBegin with {doc}`prose`, then see {numref}`fig-line`.\n"
PROSE = "# Prose\n\nNothing here runs.\n\n```{bibliography}\n:all:\n```\n"
CHAPTER = """\
---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
    format_version: 0.13
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# A chapter

```{code-cell} ipython3
:tags: [remove-cell]
import matplotlib.pyplot as plt
from mlpinit import chapter, constant
chapter.setup()
chapter.glue("height", constant.HEIGHT, ".2f")
```

The line ends at {glue:text}`height`.

```{code-cell} ipython3
---
tags: [hide-input]
mystnb:
  figure:
    name: fig-line
    caption: |
      A line up to {glue:text}`height`.
  image:
    alt: "A straight line from 0 to {height}."
---
fig, ax = plt.subplots()
ax.plot([0, constant.HEIGHT])
plt.show()
```
"""

RICH = r"""
(rich)=
## A rich section

The line ends at {glue:text}`height`, **bold**, *slanted*, `a|b` and 2 * 3 < 7 costs $5,
says {cite:t}`{CITED}`. See {ref}`rich`, {numref}`fig-line` and {eq}`eq-rich`.

:::{admonition} A box
:class: note

It has a formula,

$$
\begin{aligned}
a &= b \\
  &= c
\end{aligned}
$$ (eq-rich)

- and a list
- of two with {glue:text}`height`
:::

:::{admonition} Closed
:class: dropdown
Opened.
:::

| name | value, $\|x\|$ |
|---|---:|
| height | {glue:text}`height` |

:::{exercise} A slope
:label: exercise-6-1

Write {math}`t'`.
:::

:::{graded} 6.1
:::

```{code-cell} ipython3
:tags: [remove-cell]
late = 1
```

1\. not a list

```{code-cell} ipython3
late + 1
```
"""


@dataclass(frozen=True)
class Project:
    """A project of one chapter and a page of prose, built with the pinned packages in place."""

    root: Path

    @property
    def html(self) -> Path:
        return self.root / "_build" / "html"

    def page(self, name: str) -> str:
        return (self.html / "book" / f"{name}.html").read_text(encoding="utf-8")

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.root / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def make(self, *arguments: str, **hosting: str) -> subprocess.CompletedProcess[str]:
        """Build it, as if on the hosting that sets these variables."""
        with self.start(*arguments, **hosting) as process:
            out, _ = process.communicate(timeout=600)
        return subprocess.CompletedProcess(process.args, process.returncode, out)

    def start(self, *arguments: str, **hosting: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            # PACKAGE: a copy is built with the packages in place, not installed over the project.
            ["make", "book", f"VENV={VENV}", "PACKAGE=", *arguments],
            cwd=self.root,
            env={**unhosted(clean_environment()), **hosting},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def kill(self, process: subprocess.Popen[str]) -> None:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)

    def runs(self) -> dict[str, int]:
        """Tell when each stored run of a chapter was made: unchanged when nothing ran again."""
        stored = (self.root / "_build" / "executed").rglob("base.ipynb")
        return {path.parent.name: path.stat().st_mtime_ns for path in stored}

    def figures(self) -> dict[str, bytes]:
        images = self.html / "_images"
        return {path.name: path.read_bytes() for path in images.glob("*.svg")}


def clean_environment() -> dict[str, str]:
    """Leave out what the `make test` around this run tells its own children."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS", "COV_"))}


def unhosted(environment: dict[str, str]) -> dict[str, str]:
    """Leave out what a hosting says of itself, so that a test finds the same wherever it runs."""
    named = ("GITHUB_", "READTHEDOCS", "CI_", "BOOK_URL")
    return {k: v for k, v in environment.items() if not k.startswith(named)}


def new_project(root: Path) -> Project:
    root.mkdir(parents=True)
    for name in COPIED:
        shutil.copy2(ROOT / name, root / name)
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "mlpinit", root / "mlpinit", ignore=ignore)
    shutil.copytree(ROOT / "book" / "web", root / "book" / "web", ignore=ignore)
    shutil.copytree(ROOT / "book" / "solutions", root / "book" / "solutions", ignore=ignore)
    shutil.copy2(ROOT / "book" / "references.bib", root / "book")
    (root / "mlpinit" / "constant.py").write_text("HEIGHT = 1.5\n")
    (root / "_toc.yml").write_text(TOC)
    for name, text in (("index", INDEX), ("prose", PROSE), ("chapter", CHAPTER)):
        (root / "book" / f"{name}.md").write_text(text)
    return Project(root)


def enrich(project: Project) -> None:
    """Add one of everything that a chapter may have to the project's chapter."""
    bibliography = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    cited = re.search(r"@\w+\{(\w+),", bibliography)[1]
    chapter = project.root / "book" / "chapter.md"
    chapter.write_text(chapter.read_text() + RICH.replace("{CITED}", cited))


@dataclass(frozen=True)
class Once:
    """A folder for what all processes of one run of the tests share, and only one of them makes."""

    root: Path

    def do(self, name: str, make: Callable[[Path], object]) -> Path:
        """The folder of that name, once `make` has filled it."""
        folder, done = self.root / name, self.root / f"{name}.done"
        with FileLock(self.root / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # a part that another has left
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    def built(self, name: str, new: Callable[[Path], Project], *arguments: str) -> Project:
        """The project of that name, built once `new` has made it in a folder."""

        def build(folder: Path) -> None:
            result = new(folder).make(*arguments)
            assert result.returncode == 0, result.stdout

        return Project(self.do(name, build) / "project")


def changed(project: Project, change: Callable[[Project], object]) -> Callable[[Path], Project]:
    """Makes a changed copy of a project in a folder."""

    def new(folder: Path) -> Project:
        copy = copy_project(project, folder)
        change(copy)
        return copy

    return new


def copy_project(project: Project, folder: Path) -> Project:
    return Project(Path(shutil.copytree(project.root, folder / "project", symlinks=True)))
