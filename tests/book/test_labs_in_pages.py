"""The labs as readers use them: in the built pages, from disk, by mouse, finger and keyboard."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import browser
import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from mlpinit import lab
from mlpinit.lab import by_torch

SELECTOR = ", ".join(lab.TAGS)
LABS = {
    "book/part1/backward": ["mlp-graph-lab"],
    "book/part1/training": ["mlp-microscope"],
    "book/part2/tanh-derivative": ["mlp-derivative-lab"],
    "book/part2/tanh-in-floating-point": ["mlp-derivative-lab"],
    "book/part2/saturated-or-dead": ["mlp-init-lab"],
    "book/part2/shrinking": ["mlp-init-lab", "mlp-microscope"],
    "book/part2/other-activations": ["mlp-init-lab"],
    "book/part3/gain": ["mlp-init-lab"],
    "book/part3/batch-normalisation": ["mlp-init-lab"],
    "book/part3/ladder": ["mlp-microscope"],
    "book/part5/growing": ["mlp-stream-lab"],
    "book/part5/gates-and-attention": ["mlp-rows-lab"],
    "book/part5/dead-features": ["mlp-router-lab"],
}
ALL = [(page, k, tag) for page, tags in LABS.items() for k, tag in enumerate(tags)]
# The first lab of each kind; the survey looks at the others as well.
FIRST = {tag: (page, k) for page, k, tag in reversed(ALL)}
EACH = [
    pytest.param(
        page,
        k,
        id=f"{page}-{k}",
        marks=[] if FIRST[tag] == (page, k) else pytest.mark.survey,
    )
    for page, k, tag in ALL
]
A_WHILE = 500  # milliseconds, in which what moves by itself would have moved
HEARD = """([lab, other]) => {
  const said = lab.querySelector(".lab-live").textContent;
  return said && said !== other && said === lab.querySelector(".lab-sentence").textContent;
}"""

SHOWING = [
    pytest.param(page, tags, marks=[] if page in dict(FIRST.values()) else pytest.mark.survey)
    for page, tags in LABS.items()
]

AXE = """async (labs) => {
  const { violations } = await axe.run(labs, { resultTypes: ["violations"] });
  return violations
    .filter(({ impact }) => ["serious", "critical"].includes(impact))
    .map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target).join(" ")}`);
}"""


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    with new_page(context) as page:
        yield page


@pytest.fixture(scope="module")
def opened(context: BrowserContext, html: Path) -> Iterator[Callable[[str], Page]]:
    """One page after another, each opened once for the tests that only look at its labs."""
    with new_page(context) as page:

        def open_page(name: str) -> Page:
            if page.url != address(html, name):
                page.goto(address(html, name))
            return page

        yield open_page


def new_page(context: BrowserContext) -> Page:
    page = context.new_page()
    page.emulate_media(color_scheme="light")
    return page


def address(html: Path, name: str) -> str:
    return (html / f"{name}.html").as_uri()


def ready(page: Page, k: int) -> Locator:
    """The k-th lab of the page, in view and drawn."""
    found = page.locator(SELECTOR).nth(k)
    found.scroll_into_view_if_needed()
    found.locator(".lab-desk").wait_for()
    found.locator(".lab-desk").scroll_into_view_if_needed()
    return found


def sentence(found: Locator) -> str:
    return found.locator(".lab-sentence").inner_text()


def heard(page: Page, found: Locator, after: str = "") -> str:
    """What a screen reader hears after that sentence, once it is what the lab shows."""
    page.wait_for_function(HEARD, arg=[found.element_handle(), after])
    return sentence(found)


def slide(page: Page, slider: Locator, begin: float, end: float) -> None:
    """Drag a slider's thumb with the mouse."""
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + begin * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + end * box["width"], y, steps=5)
    page.mouse.up()


def test_labs_stand_where_they_should(html: Path) -> None:
    found = {}
    for path in browser.pages(html):
        if path == html / "playground.html":
            continue  # it has the labs' code inside it, and their names in its comments
        tags = re.findall(rf"<({'|'.join(lab.TAGS)})\b", path.read_text(encoding="utf-8"))
        if tags:
            found[path.relative_to(html).with_suffix("").as_posix()] = tags
    assert found == LABS


def test_pages_without_a_lab_load_none(html: Path) -> None:
    for path in browser.pages(html):
        with_lab = path.relative_to(html).with_suffix("").as_posix() in LABS
        text = path.read_text(encoding="utf-8")
        assert ("lab.js" in text, "lab.css" in text) == (with_lab, with_lab), path
        assert "data-recording" not in text


@pytest.mark.parametrize(("name", "k"), EACH)
def test_lab_follows_mouse_keys_and_address(page: Page, html: Path, name: str, k: int) -> None:
    troubles = browser.Visit(name)
    troubles.listen(page)
    page.goto(address(html, name))
    found = ready(page, k)
    first = heard(page, found)
    slider = found.locator("input[type=range]").first

    slide(page, slider, 0.5, 0.9)
    dragged = heard(page, found, after=first)
    slider.focus()
    page.keyboard.press("ArrowLeft")
    said = heard(page, found, after=dragged)
    identity = found.get_attribute("id")
    assert f"#{identity}:" in page.url
    state = page.url
    words = slider.get_attribute("aria-valuetext")
    assert words

    found.get_by_role("button", name="Start again").click()
    assert heard(page, found, after=said) == first
    page.goto("about:blank")
    page.goto(state)
    found = ready(page, k)
    assert heard(page, found, after=first) == said
    assert found.locator("input[type=range]").first.get_attribute("aria-valuetext") == words
    assert [*troubles.errors, *troubles.console, *troubles.left, *troubles.missing] == []


@pytest.mark.parametrize(("name", "k"), EACH)
def test_numbers_are_told_in_a_table(opened: Callable[[str], Page], name: str, k: int) -> None:
    found = ready(opened(name), k)
    found.locator("summary", has_text="The numbers").click()
    table = found.locator(".lab-table table")
    table.wait_for()  # it is filled once the browser says that it has been opened
    assert table.locator("thead th").count() >= 3
    assert table.locator("tbody tr").count() >= 1
    assert not re.search(r"undefined|NaN|\[object", table.inner_text())


@pytest.mark.parametrize(("name", "k"), EACH)
def test_every_control_has_a_label_and_the_lab_one_live_region(
    opened: Callable[[str], Page], name: str, k: int
) -> None:
    found = ready(opened(name), k)
    controls = found.locator("input, select")
    assert controls.count() >= 2
    for control in controls.all():
        assert control.evaluate(
            "(c) => c.labels.length === 1 && c.labels[0].textContent.trim() !== ''"
        )
    assert found.locator("[aria-live]").count() == 1
    for canvas in found.locator("canvas").all():
        assert len(canvas.get_attribute("aria-label")) > 15
        assert canvas.evaluate(
            "(c) => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((x) => x)"
        ), "something is drawn"


@pytest.mark.parametrize(("name", "tags"), SHOWING, ids=lambda value: str(value)[:30])
def test_labs_fit_and_axe_finds_nothing_serious(
    page: Page, html: Path, name: str, tags: list[str]
) -> None:
    page.goto(address(html, name))
    for k in range(len(tags)):
        ready(page, k).locator("summary", has_text="The numbers").click()
    page.evaluate(browser.AXE_SCRIPT)
    for width, theme in ((1280, "light"), (390, "dark")):
        page.set_viewport_size({"width": width, "height": browser.HEIGHT})
        browser.switch_to(page, theme)
        browser.settle(page)
        assert page.evaluate("inPage.sideways()") == []
        assert page.evaluate(AXE, SELECTOR) == []


@pytest.mark.parametrize(
    ("name", "settings", "told"),
    [
        ("book/part2/saturated-or-dead", {}, {"dead", "loss"}),
        ("book/part2/shrinking", {"scale": 0.2, "bias": 0.01}, set()),
        ("book/part2/other-activations", {"activation": "relu", "bias": 0}, {"dead"}),
    ],
)
def test_init_lab_says_what_torch_counts(
    page: Page, html: Path, name: str, settings: dict[str, float | str], told: set[str]
) -> None:
    page.goto(address(html, name))
    figures = by_torch.at(**settings)
    said = sentence(ready(page, 0))
    assert f"{figures.share:.1%} of activations are saturated" in said
    dead = f"{figures.soft} units are" if figures.soft else "no units are"
    told_of_dead = f"{dead} soft-dead in this batch, {figures.hard or 'none'} hard-dead" in said
    assert told_of_dead == ("dead" in told), "the lab's sentence says what it shows"
    assert (f"the loss starts at {figures.loss:.2f}." in said) == ("loss" in told)


def test_a_finger_moves_a_slider_and_the_point_on_the_curve(page: Page, html: Path) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    devtools = page.context.new_cdp_session(page)
    devtools.send("Emulation.setTouchEmulationEnabled", {"enabled": True})

    def tap(target: Locator, across: float) -> None:
        target.scroll_into_view_if_needed()
        box = target.bounding_box()
        spot = {"x": box["x"] + across * box["width"], "y": box["y"] + box["height"] / 2}
        devtools.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [spot]})
        devtools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    page.goto(address(html, "book/part2/tanh-in-floating-point"))
    found = ready(page, 0)
    first = heard(page, found)
    tap(found.locator("input[type=range]").first, 0.2)
    by_slider = heard(page, found, after=first)
    tap(found.locator("canvas").first, 0.7)
    assert heard(page, found, after=by_slider) != first


def test_the_microscope_moves_only_when_asked_and_not_where_motion_is_unwanted(
    page: Page, html: Path
) -> None:
    page.goto(address(html, "book/part1/training"))
    assert ready(page, 0).get_by_role("button", name="Play").count() == 0
    page.emulate_media(reduced_motion="no-preference")
    page.goto(address(html, "book/part1/training"))
    found = ready(page, 0)
    words = found.locator("output").first
    start = words.inner_text()
    said = heard(page, found)
    page.wait_for_timeout(A_WHILE)
    assert words.inner_text() == start
    found.get_by_role("button", name="Play").click()
    expect(words).not_to_have_text(start, timeout=browser.LATEST_MS)
    found.get_by_role("button", name="Stop").click()
    heard(page, found, after=said)
    stopped = words.inner_text()
    page.wait_for_timeout(A_WHILE)
    assert words.inner_text() == stopped


def test_a_recording_that_is_missing_is_said(page: Page, html: Path, tmp_path: Path) -> None:
    source = (html / "book/part1/training.html").read_text(encoding="utf-8")
    broken = html / "book" / "part1" / "no-recording.html"
    try:
        broken.write_text(re.sub(r'src-base="[^"]*"', 'src-base="nowhere/"', source))
        page.goto(broken.as_uri())
        page.locator("mlp-microscope").scroll_into_view_if_needed()
        said = page.locator("mlp-microscope [role=status]")
        said.wait_for()
        assert "could not be loaded" in said.inner_text()
    finally:
        broken.unlink()


def test_recordings_are_light_and_come_when_they_are_near(page: Page, html: Path) -> None:
    files = sorted((html / "_static" / "labs").glob("*.js"))
    named = "".join(path.read_text(encoding="utf-8") for path in html.rglob("*.html"))
    assert {file.stem for file in files} == set(re.findall(r"\brun-[0-9a-f]{8}\b", named))
    assert len(files) >= 8
    assert all(10_000 < file.stat().st_size <= 150_000 for file in files)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address(html, "book/part3/ladder"))
    page.wait_for_load_state()
    assert not [url for url in asked if "/labs/" in url]
    ready(page, 0)
    assert len([url for url in asked if "/labs/" in url]) == 5


@pytest.mark.parametrize("name", LABS)
def test_without_javascript_the_page_says_so_and_shows_its_figures(
    page: Page, html: Path, name: str
) -> None:
    devtools = page.context.new_cdp_session(page)
    devtools.send("Emulation.setScriptExecutionDisabled", {"value": True})
    page.goto(address(html, name))
    for found in page.locator(SELECTOR).all():
        assert "a browser with JavaScript" in found.inner_text()
    assert page.locator("article figure img.only-light").first.is_visible()


def test_what_is_not_shown_is_folded_and_works(page: Page, tmp_path: Path) -> None:
    made = lab.init(show=("scale", "bias", "map", "z"), bias=0.5)
    file = tmp_path / "narrow.html"
    file.write_text(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>A lab</title>"
        f"<style>{lab.style()}</style><main>{made.element()}</main><script>{lab.script()}</script>",
        encoding="utf-8",
    )
    troubles = browser.Visit("narrow")
    troubles.listen(page)
    page.goto(file.as_uri())
    found = ready(page, 0)
    first = heard(page, found)
    assert "soft-dead" not in first
    assert "loss" not in first
    assert first.startswith("With scale 1 and bias scale 0.5, ")
    names = (
        "(all) => all.filter((one) => one.checkVisibility()).map((one) => one.id || one.ariaLabel)"
    )
    shown = found.locator("input, select").evaluate_all(names)
    assert [name.split("-")[-1] for name in shown] == ["scale", "bias"]
    assert len(found.locator("canvas").evaluate_all(names)) == 2

    found.locator("summary", has_text="More controls").focus()
    page.keyboard.press("Enter")
    depth = found.get_by_label("depth")
    depth.focus()
    page.keyboard.press("ArrowRight")
    deeper = heard(page, found, after=first)
    assert deeper.startswith("With scale 1, bias scale 0.5 and 2 hidden layers, ")
    state = page.url
    assert state.endswith(":depth=2")
    found.locator("summary", has_text="More pictures").click()
    assert len(found.locator("canvas").evaluate_all(names)) == 5
    page.wait_for_function(
        """(lab) => [...lab.querySelectorAll("canvas")].every((c) =>
          c.getContext("2d").getImageData(0, 0, c.width, c.height).data.some((x) => x))""",
        arg=found.element_handle(),
    )
    found.locator("summary", has_text="The numbers").click()
    expect(found.locator(".lab-table thead th")).to_have_count(7)
    page.evaluate(browser.AXE_SCRIPT)
    for width in browser.WIDTHS:
        page.set_viewport_size({"width": width, "height": browser.HEIGHT})
        assert page.evaluate("inPage.sideways()") == []
        assert page.evaluate(AXE, SELECTOR) == []
    found.get_by_role("button", name="Start again").click()
    assert heard(page, found, after=deeper) == first
    page.goto("about:blank")
    page.goto(state)
    assert heard(page, ready(page, 0)) == deeper
    assert [*troubles.errors, *troubles.console, *troubles.left, *troubles.missing] == []


def test_labs_work_twice_in_one_notebook(page: Page, tmp_path: Path) -> None:
    """Outputs put in one after the other, scripts run as a notebook runs them."""
    outputs = [made._repr_html_() for made in (lab.init(), lab.graph(step=3), lab.init(depth=4))]
    file = tmp_path / "notebook.html"
    file.write_text("<!doctype html><meta charset=utf-8><body>", encoding="utf-8")
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(file.as_uri())
    for output in outputs:
        page.evaluate(
            """(html) => {
              const box = document.createElement("div");
              document.body.append(box);
              box.innerHTML = html;
              for (const old of box.querySelectorAll("script")) {
                const script = document.createElement("script");
                script.textContent = old.textContent;
                old.replaceWith(script);
              }
            }""",
            output,
        )
    assert page.locator(".lab-desk").count() == 3
    said = [box.inner_text() for box in page.locator(".lab-sentence").all()]
    assert len(set(said)) == 3
    assert errors == []
