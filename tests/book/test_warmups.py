"""`{warm-up}`: what an author may write, what stops the build, and how a page answers."""

from __future__ import annotations

import re
from collections.abc import Iterator

import browser
import nbformat
import pytest
from book_build import onepage, warmups
from bs4 import BeautifulSoup
from playwright.sync_api import Browser, Locator, Page, expect
from small_project import Once, Project, changed, copy_project

NUMBER = """\
ask: |
  How many of $n$ columns? The line is {glue:text}`height` high.
answer: 24
within: 0.5
unit: columns
why: |
  See {numref}`fig-line`.
wrong:
  - at: 12
    why: You counted *half*.
  - at: -3
    why: A count is positive.
"""
CHOICES = """\
ask: Is it so?
choices:
  - text: No
    why: It is.
  - text: Yes, $x^2$
    right: true
    why: It is `so`.
  - text: |
      Both: {glue:text}`height`
    why: Only one can be.
"""
GLUED = 'ask: How high?\nanswer: "height"\nwhy: It is {glue:text}`height`.\n'
THOUSANDS = "ask: How many?\nanswer: 1,024\nwhy: It is two to the ten.\n"
DEFECTS = {
    "two right": (
        CHOICES.replace("text: No\n", "text: No\n    right: true\n"),
        "here 2 of 3 has",
    ),
    "not a number": (GLUED.replace("height", "word", 1), "no cell of this page glues that name"),
}


def box(body: str) -> str:
    return f"\n```{{warm-up}}\n{body}```\n"


def read(body: str) -> warmups.Question:
    return warmups.read(body, {"height": "1.50", "share": "33.9%", "name": "tanh"}.get)


# What an author writes


def test_a_number_has_its_unit_its_room_and_its_wrong_answers() -> None:
    asked = read(NUMBER)
    assert asked.answer == warmups.Number(24.0, "24")
    assert (asked.within, asked.unit, asked.choices) == (0.5, "columns", ())
    assert [wrong.at.value for wrong in asked.wrong] == [12.0, -3.0]
    assert asked.wrong[1].at.shown == "−3"
    assert asked.why.words == "See {numref}`fig-line`."
    assert NUMBER.splitlines()[asked.why.line].strip() == asked.why.words


def test_choices_are_texts_whatever_yaml_would_make_of_them() -> None:
    asked = read(CHOICES)
    assert [choice.text.words[:3] for choice in asked.choices] == ["No", "Yes", "Bot"]
    assert [choice.right for choice in asked.choices] == [False, True, False]


@pytest.mark.parametrize(
    ("answer", "value", "unit"),
    [("height", 1.5, ""), ("share", 33.9, "%"), ("1,024", 1024, ""), ("1e-3", 0.001, "")],
)
def test_an_answer_is_a_number_or_the_name_of_one(answer: str, value: float, unit: str) -> None:
    asked = read(f"ask: How much?\nanswer: {answer}\nwhy: So.\n")
    assert (asked.answer.value, asked.unit) == (value, unit)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("ask: How many?\n", "has either 'answer' or 'choices'; this one has neither"),
        (NUMBER + "choices: []\n", "this one has both"),
        (NUMBER.replace("unit:", "units:"), "unknown key 'units'; a warm-up with a number has ask"),
        (NUMBER.replace("24", "depth"), "'depth': no number, and no cell of this page glues"),
        (NUMBER.replace("24", "name"), "'name', which is glued as 'tanh': no number"),
        (NUMBER.replace("24", "nan"), "no number"),
        (NUMBER.replace("0.5", "-1"), "'within' is -1; it says how far off"),
        (NUMBER.replace("12", "24.5"), "'at' of wrong number 1 is 24.5, which is right"),
        (NUMBER.replace("-3", "12"), "'at' of wrong number 2 is 12, as before"),
        (NUMBER.replace("at: 12\n    ", ""), "wrong number 1 has no 'at'"),
        (NUMBER.replace("    why: A count is positive.\n", ""), "wrong number 2 has no 'why'"),
        (NUMBER.replace("why: |\n  See", "unit: |\n  See"), "'unit' stands twice, again in line 6"),
        (NUMBER.replace("ask", "aks"), "unknown key 'aks'"),
        (CHOICES.replace("    right: true\n", ""), "here none of 3 has"),
        (CHOICES.replace("right: true", "right: maybe"), "'right' of choice 2 is 'maybe'"),
        (CHOICES.replace("    why: It is.\n", ""), "choice 1 has no 'why'"),
        (CHOICES.replace("ask: Is it so?\n", ""), "the warm-up has no 'ask'"),
        (CHOICES.replace("text: No", "says: No"), "choice 1 has an unknown key 'says'"),
        ("ask: Is it?\nchoices:\n  - text: Yes\n    right: true\n", "a list of two or more"),
        ("ask: Is it?\nchoices:\n  - Yes\n  - No\n", "choice 1 is to have 'text', 'right', 'why'"),
        (NUMBER.replace("why: You", "why: You: you"), "not YAML: mapping values are not allowed"),
        (NUMBER.replace("why: You", "why: {glue:text}`x` You"), "a text that holds a colon"),
        ("How many?\n", "a warm-up has 'ask:'"),
        ("", "a warm-up has 'ask:'"),
        *DEFECTS.values(),
    ],
)
def test_what_is_wrong_is_said(body: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        read(body)


# A small project


@pytest.fixture(scope="module")
def warm(once: Once, built: Project) -> Project:
    """The small project with four warm-ups in its chapter."""

    def change(project: Project) -> None:
        chapter = project.root / "book" / "chapter.md"
        boxes = [box(body) for body in (NUMBER, CHOICES, GLUED, THOUSANDS)]
        chapter.write_text(chapter.read_text() + "\n## Warm-ups\n" + "".join(boxes))

    return once.built("warm-ups", changed(built, change))


@pytest.fixture
def page(warm: Project, chrome: Browser) -> Iterator[Page]:
    with browser.offline(chrome) as context:
        page = context.new_page()
        page.emulate_media(color_scheme="light")
        page.goto((warm.html / "book" / "chapter.html").as_uri())
        yield page


def warm_up(page: Page, number: int) -> Locator:
    return page.locator(f"#warm-up-{number}")


def said(form: Locator) -> Locator:
    return form.locator("[aria-live]")


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_stops_the_build(built: Project, tmp_path, defect: str) -> None:
    project = copy_project(built, tmp_path)
    body, told = DEFECTS[defect]
    chapter = project.root / "book" / "chapter.md"
    chapter.write_text(chapter.read_text() + box(body))
    result = project.make()
    assert result.returncode != 0
    assert "warm-up: " in result.stdout
    assert told in result.stdout
    assert "book/chapter.md" in result.stdout


@pytest.mark.parametrize(
    ("number", "typed", "right", "told"),
    [
        (1, "24", True, "Right. See Fig. 2.1."),
        (1, "24.5", True, "Right."),
        (1, "23,5", True, "Right."),
        (1, " 2 4 columns", True, "Right."),
        (1, "48/2", True, "Right."),
        (1, "12.2", False, "Not 12.2. You counted half."),
        (1, "−3", False, "A count is positive."),
        (1, "24.6", False, "Not that: 24.6. Read the question once more, and try again."),
        (1, "-24", False, "Not that"),
        (3, "1,5", True, "Right. It is 1.50."),
        (3, "1.500", True, "Right."),
        (3, "1.51", False, "Not that"),
        (4, "1,024", True, "Right."),
        (4, "1024", True, "Right."),
        (4, "1.024,0", True, "Right."),
        (4, "1.024", False, "Not that"),
        (4, "1e3", False, "Not that"),
    ],
)
def test_a_number_is_answered(page: Page, number: int, typed: str, right: bool, told: str) -> None:
    form = warm_up(page, number)
    form.get_by_label("Your answer").fill(typed)
    form.get_by_role("button", name="Check").click()
    expect(said(form)).to_contain_text(told)
    expect(said(form)).to_have_class(f"feedback {'right' if right else 'wrong'}")


@pytest.mark.parametrize(
    ("typed", "told"), [("", "Write a number first."), ("many", "“many” is not a number")]
)
def test_what_is_no_number_is_neither_right_nor_wrong(page: Page, typed: str, told: str) -> None:
    form = warm_up(page, 1)
    form.get_by_label("Your answer").fill(typed)
    form.get_by_label("Your answer").press("Enter")
    expect(said(form)).to_contain_text(told)
    expect(said(form)).to_have_class("feedback ")


def test_every_choice_has_its_explanation_and_one_may_try_again(page: Page) -> None:
    form = warm_up(page, 2)
    check = form.get_by_role("button", name="Check")
    check.click()
    expect(said(form)).to_have_text("Choose an answer first.")
    for choice, told in (
        ("No", "Not that one. It is."),
        ("Both: 1.50", "Not that one. Only one can be."),
        ("Yes", "Right. It is so."),
    ):
        form.get_by_role("radio", name=choice).check()
        expect(said(form)).to_be_empty()
        check.click()
        expect(said(form)).to_contain_text(told)
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(({ id }) => id)")
    assert len(ids) == len(set(ids)), "what is said has no id of the original"


def test_it_is_answered_by_keyboard(page: Page) -> None:
    form = warm_up(page, 2)
    form.get_by_role("radio").first.focus()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    expect(form.get_by_role("button", name="Check")).to_be_focused()
    page.keyboard.press("Enter")
    expect(said(form)).to_contain_text("Right.")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(form.locator("details")).to_have_attribute("open", "")
    expect(form.locator(".answers > div").first).to_contain_text("Right: Yes")


def test_group_and_field_are_named_for_those_who_hear(page: Page) -> None:
    group = page.get_by_role("group", name="Warm-up 1")
    expect(group).to_have_accessible_description("How many of n columns? The line is 1.50 high.")
    field = group.get_by_role("textbox", name="Your answer")
    expect(field).to_have_accessible_description("columns")


@pytest.mark.parametrize("view", browser.VIEWS)
def test_it_fits_and_axe_finds_nothing_serious(page: Page, view: tuple[int, str]) -> None:
    width, theme = view
    page.set_viewport_size({"width": width, "height": browser.HEIGHT})
    browser.switch_to(page, theme)
    for number, answer in ((1, "12"), (3, "1.5")):
        form = warm_up(page, number)
        form.get_by_label("Your answer").fill(answer)
        form.get_by_role("button").click()
    page.evaluate("inPage.fold(false)")
    page.evaluate(browser.AXE_SCRIPT)
    browser.settle(page)
    assert page.evaluate("inPage.sideways()") == []
    found = page.evaluate("inPage.violations(true)")
    assert [finding for finding in found if "warm-up" in finding] == []


def test_without_javascript_the_answer_unfolds_and_nothing_else_happens(page: Page) -> None:
    devtools = page.context.new_cdp_session(page)
    devtools.send("Emulation.setScriptExecutionDisabled", {"value": True})
    page.reload()
    form = warm_up(page, 1)
    assert not form.locator("button").is_visible()
    form.locator("input").fill("24")
    before = page.url
    form.locator("input").press("Enter")
    assert page.url == before
    assert not form.locator(".answers > div").first.is_visible()
    form.locator("summary").click()
    assert form.locator(".answers > .right").is_visible()
    assert "You counted half." in form.inner_text()


def test_only_a_page_with_a_warm_up_loads_the_script(warm: Project) -> None:
    assert "warm-up.js" in warm.page("chapter")
    assert "warm-up.js" not in warm.page("prose")
    script = (warm.html / "_static" / warmups.SCRIPT).read_bytes()
    assert b"fetch" not in script
    assert b"localStorage" not in script
    assert len(script) < 4000


def test_on_paper_the_answers_stand_open_and_what_is_for_a_screen_is_gone(warm: Project) -> None:
    article = BeautifulSoup(warm.page("chapter"), "html.parser").select_one("article.bd-article")
    onepage.leave_out(article)
    form = article.select_one("#warm-up-1")
    assert form.select("input, button, summary, .feedback") == []
    assert "open" in form.details.attrs
    assert "Your answer" not in form.get_text()
    assert "You counted half." in form.get_text()


def test_printed_from_its_page_it_shows_the_answer(page: Page) -> None:
    page.emulate_media(media="print")
    answer = warm_up(page, 1).locator(".answers > .right")
    assert answer.evaluate("(a) => a.checkVisibility({ contentVisibilityAuto: true })")
    assert answer.bounding_box()["height"] > 0


def test_a_notebook_has_the_question_the_choices_and_the_answer_folded(warm: Project) -> None:
    made = nbformat.read(warm.html / "notebooks" / "chapter.ipynb", as_version=4)
    text = made.cells[-2].source
    assert "> **Warm-up 1**\n>\n> How many of $n$ columns? The line is 1.50 high." in text
    assert "> - No\n> - Yes, $x^2$\n> - Both: 1.50" in text
    folded = "<summary>Show the answer</summary>\n\n**Right:** 24 columns\n\nSee Fig. 2.1."
    assert folded in text
    assert "**Wrong:** 12 columns\n\nYou counted *half*." in text
