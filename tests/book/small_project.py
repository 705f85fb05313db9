"""Small copies of the project that a test may break."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

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
            out, _ = process.communicate(timeout=120)
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
        process.communicate(timeout=10)

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


def copy_project(project: Project, folder: Path) -> Project:
    return Project(Path(shutil.copytree(project.root, folder / "project", symlinks=True)))
