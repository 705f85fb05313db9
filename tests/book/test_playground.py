"""The playground as readers use it: in the built book and as one file, from disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import browser
import pytest
import torch
from playwright.sync_api import BrowserContext, Page, expect

from mlpinit import corpus, init, mlp, saturation, train

STEPS = 200
RUN = "document.querySelector('mlp-playground').run"
AT_REST = f"step => {RUN}.step === step && !{RUN}.running && {RUN}.last.step === step"


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    page = context.new_page()
    said = []
    page.on("console", lambda one: said.append(one.text) if one.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    yield page
    page.close()
    assert not said


def opened(page: Page, html: Path, name: str = "playground.html", setting: str = "") -> Page:
    page.goto((html / name).as_uri() + (f"#playground:{setting}" if setting else ""))
    page.locator("mlp-playground").scroll_into_view_if_needed()
    expect(page.locator(".lab-sentence")).to_contain_text("Step 0:", timeout=browser.LATEST_MS)
    return page


def train_to(page: Page, steps: int, button: str = "Train 200 steps") -> None:
    page.get_by_role("button", name=button).click()
    page.wait_for_function(AT_REST, arg=steps, timeout=browser.LATEST_MS)


def test_a_run_in_the_page_is_torch_s(page, html):
    name = "book/playground.html"
    opened(page, html, name, "scheme=kaiming&activation=relu&steps=200")
    train_to(page, STEPS)
    g = torch.Generator().manual_seed(2147483647)
    arch = mlp.Architecture(activation="relu")
    start = init.draw(arch, init.kaiming("relu"), generator=g)
    splits = corpus.split(corpus.load())
    run = train.sgd(start, splits.train, steps=STEPS, generator=g, lr=0.1)
    assert page.evaluate(f"{RUN}.losses") == pytest.approx(run.losses.tolist(), abs=1e-4)
    (layer,) = saturation.census(run.params, splits.train)
    assert page.evaluate(f"{RUN}.dead") == [int(layer.soft_dead.sum()), 200]
    dev = train.evaluate(run.params, splits.dev).item()
    assert page.evaluate(f"{RUN}.last.dev") == pytest.approx(dev, abs=1e-4)


def test_the_page_that_stands_alone_follows_the_system_s_colours(page, html):
    page.emulate_media(color_scheme="light")
    opened(page, html)
    for theme in ("light", "dark", "light"):
        page.emulate_media(color_scheme=theme)
        page.wait_for_function(f"document.documentElement.dataset.theme === '{theme}'")


def test_units_that_are_stuck_are_seen_removed_and_recycled(page, html):
    opened(page, html, setting="bias=20&units=40&steps=200")
    dead, units = page.evaluate(f"{RUN}.dead")
    assert dead > 10
    assert units == 40
    page.get_by_role("button", name="Recycle dead").click()
    expect(page.locator(".lab-sentence")).to_contain_text(f"{dead} recycled")
    page.get_by_role("button", name="Start again", exact=True).click()
    expect(page.locator(".lab-sentence")).to_contain_text(f"{dead} of 40 units are dead")
    page.get_by_role("button", name="Remove dead").click()
    expect(page.locator(".lab-sentence")).to_contain_text(f"none of {units - dead} units")
    train_to(page, STEPS)
    page.get_by_role("button", name="Copy as Python").click()
    expect(page.locator(".play-code")).to_contain_text("in the page, at step 0")
    expect(page.locator(".play-code")).to_contain_text("# up to step 200; what was changed")


def test_two_runs_stand_side_by_side_and_their_difference_is_said(page, html):
    opened(page, html, setting="units=40&steps=200")
    page.get_by_role("button", name="Pin and start again").click()
    expect(page.locator(".play-note").first).to_contain_text("Pinned.")
    page.locator("summary", has_text="More controls").click()
    page.get_by_label("activation", exact=True).select_option("relu")
    train_to(page, STEPS)
    said = page.locator(".play-note").first
    expect(said).to_contain_text("With activation ReLU instead of tanh: the loss on dev is")
    expect(page.locator("canvas[aria-label^='Lifelines of the pinned run']")).to_be_visible()


def test_two_runs_that_are_the_same_pause_together_and_have_the_same_lifelines(page, html):
    opened(page, html, setting="scheme=quiet_output&activation=relu&rate=0.5&steps=20000")
    page.get_by_role("button", name="Pin and start again").click()
    page.get_by_role("button", name="Train 20,000 steps").click()
    page.wait_for_function(f"{RUN}.step > 150", timeout=browser.LATEST_MS)
    page.get_by_role("button", name="Pause").click()
    both = f"[{RUN}, {RUN.removesuffix('run')}pin]"
    page.wait_for_function(
        f"{both}.every(({{ running, step, last }}) => !running && step === {RUN}.step "
        "&& last.step === step)",
        timeout=browser.LATEST_MS,
    )
    told = f"{both}.map((one) => JSON.stringify([one.counts, one.censuses.map((look) => "
    told += "[look.step, look.states.map((layer) => [...layer])])]))"
    here, pinned = page.evaluate(told)
    assert here == pinned
    assert page.evaluate(f"{RUN}.counts.deaths") > 0


def test_a_control_without_effect_cannot_be_moved_and_is_in_no_comparison_or_address(page, html):
    opened(page, html, setting="scale=0.5&units=40&steps=200")
    page.get_by_role("button", name="Pin and start again").click()
    page.get_by_label("start", exact=True).select_option("xavier")
    expect(page.get_by_label("weight scale")).to_be_disabled()
    note = page.locator(".play-note").first
    expect(note).to_contain_text(
        "With start Xavier instead of hidden weights × the scale: the loss"
    )
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator(".play-code")).to_contain_text("scheme=xavier")
    expect(page.locator(".play-code")).not_to_contain_text("scale")
    page.get_by_label("start", exact=True).select_option("scaled")
    expect(page.get_by_label("weight scale")).to_be_enabled()


def test_a_link_of_an_experiment_opens_it_above_and_again_when_it_is_followed_again(page, html):
    opened(page, html, "book/playground.html")
    for _ in range(2):
        page.get_by_role("link", name="tanh units stuck at ±1").click()
        expect(page.locator(".lab-sentence")).to_contain_text("Step 0:", timeout=browser.LATEST_MS)
        expect(page.locator(".lab-sentence")).to_contain_text("of 200 units are dead.")
        expect(page.locator("mlp-playground")).to_be_in_viewport()
        expect(page.get_by_label("open", exact=True)).to_have_value("stuck")
        page.get_by_role("button", name="100 steps").click()
        page.wait_for_function(AT_REST, arg=100, timeout=browser.LATEST_MS)


def test_a_link_leads_to_the_same_settings_and_the_keyboard_is_enough(page, html):
    opened(page, html)
    rate = page.get_by_label("learning rate").first
    rate.focus()
    for _ in range(30):
        page.keyboard.press("ArrowRight")
    expect(page.locator(".lab-sentence")).to_contain_text("Step 0")
    page.get_by_role("button", name="Copy link").click()
    address = page.locator(".play-code").text_content()
    assert "#playground:rate=0.2" in address
    again = page.context.new_page()
    again.goto(address)
    expect(again.get_by_label("learning rate").first).to_have_attribute("aria-valuetext", "0.2")
    again.close()


def test_a_loss_that_is_not_finite_stops_the_run_and_says_why(page, html):
    opened(page, html, setting="scheme=as_drawn&activation=relu&rate=30&steps=200")
    page.get_by_role("button", name="Train 200 steps").click()
    note = page.locator(".play-note").first
    expect(note).to_contain_text("The loss at step", timeout=browser.LATEST_MS)
    expect(note).to_contain_text("a learning rate below 30")


def test_words_of_one_s_own_are_learned_and_kept_and_bad_ones_named_by_line(page, html):
    opened(page, html, setting="units=40&steps=200")
    page.locator("summary", has_text="Your own words").click()
    area = page.locator("mlp-playground textarea")
    area.fill("anna\nzoë")
    page.get_by_role("button", name="Use these words").click()
    note = page.locator(".play-note").last
    expect(note).to_contain_text("Line 2, “zoë”, has “ë”")
    expect(note).to_contain_text("These are 2 words; it takes 50 at least")
    expect(note).to_contain_text("The surnames stay in use until the list is right.")
    expect(area).to_have_attribute("aria-invalid", "true")
    area.fill("anna\nberta\n" * 30)
    page.get_by_role("button", name="Use these words").click()
    expect(note).to_have_text("60 words of your own; they stay on this machine.")
    expect(area).to_have_attribute("aria-invalid", "false")
    train_to(page, STEPS)
    assert page.evaluate(f"{RUN}.last.dev") < 1.5
    page.reload()
    opened(page, html, setting="units=40&steps=200")
    page.locator("summary", has_text="Your own words").click()
    assert area.input_value().startswith("anna\nberta")
    page.get_by_role("button", name="Back to the surnames").click()
    expect(note).to_contain_text("The surnames again.")


def test_without_a_script_a_figure_stands_for_it(chrome, html):
    with browser.offline(chrome, java_script_enabled=False) as still:
        page = still.new_page()
        page.goto((html / "book/playground.html").as_uri())
        expect(page.locator("mlp-playground")).to_contain_text("in a browser with JavaScript")
        expect(page.locator("#fig-playground img").first).to_be_visible()
