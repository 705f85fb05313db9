"""The page on the API names what is public, says it as the docstrings do, and fits a phone."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import built_pages
import pytest
from book_build import api
from bs4 import Tag

import mlpinit

MODULES = sorted(
    module.name
    for module in pkgutil.iter_modules(mlpinit.__path__, "mlpinit.")
    if not module.name.startswith("mlpinit._")
)


@pytest.fixture(scope="module")
def article(html: Path) -> Tag:
    return built_pages.article(html, "book/back/api")


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_described_or_linked(article: Tag, module: str) -> None:
    section = article.find(id=f"module-{module}")
    assert section is not None, f"book/back/api.md lacks an automodule of {module}"
    described = {tag["id"] for tag in article.select("dt.sig[id]")}
    described |= {a["href"].removeprefix("#") for a in section.select("p a.reference")}
    public = importlib.import_module(module)
    names = {name for name in public.__all__ if name[0] != "_"}
    homes = {
        name: {
            f"{module}.{name}",
            f"{home(public, name)}.{name}",
            f"{home(public, name)}.{getattr(getattr(public, name), '__name__', name)}",  # an alias
            f"{home(public, name)}.SiteError",
        }
        for name in names
    }
    assert [name for name, ids in homes.items() if not ids & described] == []


def home(module: object, name: str) -> str:
    return getattr(getattr(module, name), "__module__", "")


def test_signature_shapes_errors_and_example_are_there(article: Tag) -> None:
    entry = article.find(id="mlpinit.saturation.dormancy").parent
    text = " ".join(entry.get_text().split())
    assert text.startswith("dormancy(h: Tensor, *, centred: bool = False) → Tensor")
    assert "h: (…, batch, units)" in text or "h: (..., batch, units)" in text
    assert "Raises ValueError for a batch of none" in text
    assert ">>> dormancy(h)" in text


def test_no_mark_of_the_docstrings_is_left_in_the_text(article: Tag) -> None:
    for tag in article.select("p, li"):
        prose = "".join(piece for piece in tag.strings if not piece.find_parent(["code", "pre"]))
        assert not re.search(r"`|\\|\*\w|:py:", prose), prose


def test_no_place_of_this_machine_is_a_value(article: Tag) -> None:
    assert "PosixPath" not in article.get_text()


MARKDOWN = [
    ("where |h| > `cut` * 2", "where \\|h\\| > \\ ``cut``\\  \\* 2"),
    ("a *site*, and **kwargs", "a *site*, and \\*\\*kwargs"),
    ("zeroed in place by zero_", "zeroed in place by zero\\_"),
    ("`a\n  b` is code", "\\ ``a b``\\  is code"),
]


@pytest.mark.parametrize(("markdown", "rst"), MARKDOWN)
def test_text_is_rewritten(markdown: str, rst: str) -> None:
    assert api.as_rst(markdown.split("\n")) == [rst, ""]


def test_blocks_are_told_apart() -> None:
    lines = ["Text:", "", "    f(1)", "", "    g(2)", "", "    E = mc²", "", ">>> `1`", "1"]
    python = [".. code-block:: text", "", "   f(1)", "", "   g(2)", "", "   E = mc²", ""]
    assert api.as_rst(lines) == ["Text:", "", *python, ">>> `1`", "1", ""]
    assert api.as_rst(["    f(1)"])[0] == ".. code-block:: python"
