"""Panels in one row stand one above the other on a telephone, in pictures of their own."""

from __future__ import annotations

from pathlib import Path

import browser
import pytest
from built_pages import page_of
from playwright.sync_api import Browser, Page
from small_project import Once, Project, changed

PANELS = """\
fig, axes = plt.subplots(1, 2, sharey=True)
axes[0].plot([0, constant.HEIGHT])
axes[0].set(ylabel="height")
axes[1].plot([constant.HEIGHT, 0])
"""
FIGURE = ".cell_output figure"
SEEN = """() => [...document.querySelectorAll(".cell_output figure img")]
  .filter((image) => image.checkVisibility())
  .map((image) => [image.getAttribute("src").split("/").pop(), image.getBoundingClientRect().width])
"""
LOADED = """() => [...document.querySelectorAll(".cell_output figure img")]
  .some((image) => image.checkVisibility() && image.complete && image.naturalWidth)
"""
SIDEWAYS = "() => document.documentElement.scrollWidth > document.documentElement.clientWidth"


@pytest.fixture(scope="session")
def paneled(once: Once, built: Project) -> Project:
    """The small project with a figure of two panels."""

    def change(project: Project) -> None:
        old = "fig, ax = plt.subplots()\nax.plot([0, constant.HEIGHT])\n"
        project.edit("book/chapter.md", old, PANELS)

    return once.built("paneled", changed(built, change))


def sources(project: Project) -> dict[str, str]:
    """The pictures of the one figure: what each is for, and the name of its file."""
    images = page_of(project.html, "book/chapter").select(f"{FIGURE} img")
    return {" ".join(sorted(image["class"])): Path(image["src"]).name for image in images}


def test_a_figure_of_panels_is_four_pictures_with_one_caption(paneled: Project) -> None:
    of = sources(paneled)
    wide = of["only-light wide"].removesuffix(".svg")
    assert of == {
        "only-light wide": f"{wide}.svg",
        "only-dark wide": f"{wide}-dark.svg",
        "only-light stacked": f"{wide}-stacked.svg",
        "only-dark stacked": f"{wide}-stacked-dark.svg",
    }
    assert set(of.values()) == set(paneled.figures())
    page = page_of(paneled.html, "book/chapter")
    assert len(page.select(f"{FIGURE} figcaption")) == 1
    sizes = [(int(image["width"]), int(image["height"])) for image in page.select(f"{FIGURE} img")]
    assert sizes[0] == sizes[1]
    assert sizes[2] == sizes[3]
    assert sizes[2][0] < sizes[0][0]
    assert sizes[2][1] > 1.5 * sizes[0][1]


def test_dark_twins_have_no_dark_ink(paneled: Project) -> None:
    for name, svg in paneled.figures().items():
        assert (b"#e6e9ed" in svg) == ("-dark" in name)
        assert (b"#1f2933" in svg) != ("-dark" in name)


def test_a_figure_of_one_panel_is_not_drawn_twice(built: Project) -> None:
    assert not [name for name in built.figures() if "stacked" in name]


def opened(project: Project, page: Page, theme: str) -> list[tuple[str, float]]:
    page.set_default_timeout(browser.LATEST_MS)
    page.goto((project.html / "book" / "chapter.html").as_uri())
    page.evaluate("(theme) => { document.documentElement.dataset.theme = theme; }", theme)
    return page.evaluate(SEEN)


@pytest.mark.parametrize("theme", browser.THEMES)
@pytest.mark.parametrize("width", [320, 390, 600, 601, 1280])
def test_one_picture_is_seen_and_the_page_stays_in_place(
    paneled: Project, chrome: Browser, width: int, theme: str
) -> None:
    with chrome.new_page(viewport={"width": width, "height": 900}) as page:
        ((name, wide),) = opened(paneled, page, theme)
        shape = "stacked" if width <= 600 else "wide"
        assert name == sources(paneled)[f"only-{theme} {shape}"]
        assert wide > 0.6 * min(width, 600)
        assert not page.evaluate(SIDEWAYS)


@pytest.mark.parametrize(
    ("width", "shape", "other"), [(390, "stacked", "wide"), (1280, "wide", "stacked")]
)
def test_only_the_picture_that_is_seen_is_fetched(
    paneled: Project, chrome: Browser, width: int, shape: str, other: str
) -> None:
    of = sources(paneled)
    with chrome.new_page(viewport={"width": width, "height": 900}) as page:
        fetched: list[str] = []
        page.on("request", lambda request: fetched.append(Path(request.url).name))
        opened(paneled, page, "light")
        page.locator(f"{FIGURE} img:visible").scroll_into_view_if_needed()
        page.wait_for_function(LOADED)
        assert of[f"only-light {shape}"] in fetched
        dark = {of["only-dark wide"], of["only-dark stacked"]}
        assert not {of[f"only-light {other}"], *dark} & set(fetched)


def test_paper_has_the_wide_one(paneled: Project, chrome: Browser) -> None:
    with chrome.new_page(viewport={"width": 390, "height": 900}) as page:
        opened(paneled, page, "light")
        page.emulate_media(media="print")
        names = [name for name, _ in page.evaluate(SEEN)]
        assert names == [sources(paneled)["only-light wide"]]


def test_notebook_has_the_wide_one_alone(paneled: Project) -> None:
    (notebook,) = (p for p in paneled.html.rglob("*.ipynb") if "chapter" in p.name)
    assert "stacked" not in notebook.read_text(encoding="utf-8")
