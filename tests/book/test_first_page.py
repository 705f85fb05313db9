"""The first page: its slider counts rightly, and a reader has all of it on the first screen."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import browser
import numpy as np
import pytest
import torch
from bs4 import Tag
from built_pages import CHAPTERS, article, page_of
from playwright.sync_api import Browser, Page
from small_project import ROOT

from mlpinit import corpus, init, mlp

HOME = "book/index"
SCREENS = [(1280, 800), (390, 844)]


@pytest.fixture(scope="module")
def element(html: Path) -> Tag:
    """The element that becomes the slider, as the page has it for a reader without JavaScript."""
    return article(html, HOME).select_one("how-many")


@pytest.fixture(scope="module")
def stuck() -> torch.Tensor:
    """Each training example in each neuron, (examples, units): is the answer at an end?"""
    g = torch.Generator().manual_seed(2147483647)
    params = init.draw(mlp.Architecture(), init.QUIET_OUTPUT, generator=g)
    train = corpus.split(corpus.load()).train
    drawn = torch.cat([torch.randint(0, len(train), (32,), generator=g) for _ in range(320)])
    everything = torch.arange(len(train))
    x = params.C[train.X[torch.cat([drawn, everything])]].flatten(1)
    return torch.tanh(x @ params.W[0] + params.b[0]).abs() > 0.99


def numbers(element: Tag, name: str) -> list[int]:
    return [int(word) for word in element[name].split()]


def coded(element: Tag, name: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(element[name]), dtype=np.uint8)


def test_counts_are_those_of_a_recount(element: Tag, stuck: torch.Tensor) -> None:
    stops, counts = numbers(element, "stops"), numbers(element, "counts")
    assert {1, 2, 4, 8, 16, 32} < set(stops)
    assert stops == sorted(set(stops))
    drawn, everything = stuck[:10240], stuck[10240:]
    assert stops[-1] == len(everything)
    assert counts[:-1] == [int(drawn[:n].all(0).sum()) for n in stops[:-1]]
    assert counts[-1] == int(everything.all(0).sum()) == 0
    assert counts[0] > 80


def test_picture_is_of_the_same_examples(element: Tag, stuck: torch.Tensor) -> None:
    rows = np.unpackbits(coded(element, "rows")).reshape(32, 200)
    assert (rows == stuck[:32].numpy()).all()
    shares = coded(element, "shares").reshape(-1, 200)
    later = [n for n in numbers(element, "stops") if n > 32]
    assert len(shares) == len(later)
    groups = [stuck[:n] for n in later[:-1]] + [stuck[10240:]]
    for share, group in zip(shares, groups, strict=True):
        assert np.abs(share / 255 - group.double().mean(0).numpy()).max() < 0.003


def test_counts_stand_as_text_where_there_is_no_script(element: Tag) -> None:
    text = " ".join(element.get_text().split())
    for n, count in zip(numbers(element, "stops"), numbers(element, "counts"), strict=True):
        if n in (2, 4, 8, 16, 32):
            assert f"after {n}, {count}" in text


def test_slider_is_light_and_is_loaded_by_its_page_alone(html: Path, element: Tag) -> None:
    script = (html / "_static" / "how-many.js").read_bytes()
    assert len(gzip.compress(script + str(element).encode())) < 5000
    for document in (HOME, *CHAPTERS):
        assert ("how-many.js" in str(page_of(html, document).head)) == (document == HOME)


@contextmanager
def opened(chrome: Browser, html: Path, **options) -> Iterator[Page]:
    with browser.offline(chrome, **options) as context:
        page = context.new_page()
        page.goto((html / f"{HOME}.html").as_uri())
        yield page


@pytest.mark.parametrize(("width", "height"), SCREENS)
def test_first_screen_has_question_counter_slider_and_map(
    chrome: Browser, html: Path, width: int, height: int
) -> None:
    with opened(chrome, html, viewport={"width": width, "height": height}) as page:
        seen = [
            ".question p",
            "how-many strong",
            "how-many input",
            "figure > .how-many-map",
        ]
        for selector in seen:
            box = page.locator(selector).first.bounding_box()
            assert box["height"] > 15, selector
            assert box["y"] + box["height"] <= height, selector
            assert box["x"] >= 0, selector
            assert box["x"] + box["width"] <= width, selector
        assert not page.locator("#fig-home-maps img").first.is_visible()


def test_slider_is_moved_by_keys_and_says_what_it_shows(
    chrome: Browser, html: Path, element: Tag
) -> None:
    stops, counts = numbers(element, "stops"), numbers(element, "counts")
    with opened(chrome, html) as page:
        slider = page.get_by_role("slider", name="Examples looked at")
        count = page.locator("how-many strong")
        slider.focus()
        for k in range(1, 4):
            page.keyboard.press("ArrowRight")
            assert count.inner_text() == str(counts[k])
        assert slider.get_attribute("aria-valuetext") == (
            f"{stops[3]}: {counts[3]} of 200 neurons still look dead."
        )
        assert f"{counts[3]} columns" in page.locator("canvas").get_attribute("aria-label")
        page.keyboard.press("End")
        assert count.inner_text() == "0"
        assert f"all {stops[-1]:,}" in slider.get_attribute("aria-valuetext")
        page.keyboard.press("Home")
        assert count.inner_text() == str(counts[0])


def test_columns_that_are_lit_are_those_that_are_counted(
    chrome: Browser, html: Path, element: Tag
) -> None:
    lit = """() => {
      const { width, height } = document.querySelector("canvas");
      const ink = document.querySelector("canvas").getContext("2d");
      const { data } = ink.getImageData(0, 0, width, height);
      let columns = 0;
      for (let unit = 0; unit < width; unit++) columns += data[4 * unit] !== data[4 * unit + 2];
      return [columns, height];
    }"""
    with opened(chrome, html) as page:
        page.locator("how-many input").focus()
        for n, count in zip(numbers(element, "stops"), numbers(element, "counts"), strict=True):
            assert page.evaluate(lit) == [count, n if n <= 32 else 1]
            page.keyboard.press("ArrowRight")


def test_without_a_script_the_figure_and_the_counts_are_there(chrome: Browser, html: Path) -> None:
    with opened(chrome, html, java_script_enabled=False) as page:
        assert page.locator("#fig-home-maps img.only-light").is_visible()
        assert page.locator("how-many p").is_visible()
        assert page.locator("canvas, how-many input").count() == 0


def test_in_print_the_figure_is_back(chrome: Browser, html: Path) -> None:
    with opened(chrome, html) as page:
        page.emulate_media(media="print")
        assert page.locator("#fig-home-maps img.only-light").is_visible()
        assert not page.locator("canvas").is_visible()
        assert not page.locator("how-many input").is_visible()


@pytest.mark.parametrize("document", CHAPTERS)
def test_chapter_says_how_to_run_it(html: Path, document: str) -> None:
    (box,) = article(html, document).select(".run-page")
    assert box.summary.get_text() == "Run this chapter"
    assert box.find_previous_sibling().name == "h1"
    _, command = box.pre.get_text().splitlines()
    assert command == f"make lab PAGE={document}.md"
    assert (ROOT / f"{document}.md").is_file()
    notebook = html / document / ".." / box.select("a")[-1]["href"]
    assert notebook.resolve().is_file()


def test_first_page_has_no_box_before_its_question(html: Path) -> None:
    assert not article(html, HOME).select(".run-page")


@pytest.mark.parametrize("width", [1280, 390])
def test_box_opens_by_keyboard_and_is_not_printed(chrome: Browser, html: Path, width: int) -> None:
    with opened(chrome, html, viewport={"width": width, "height": 844}) as page:
        page.goto((html / f"{CHAPTERS[4]}.html").as_uri())
        box = page.locator(".run-page")
        assert not box.locator("pre").is_visible()
        box.locator("summary").focus()
        page.keyboard.press("Enter")
        assert box.locator("pre").is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.emulate_media(media="print")
        assert not box.is_visible()
