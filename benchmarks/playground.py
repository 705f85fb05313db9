"""How fast does the playground train? Beside the plain PyTorch loop, in turn, in one browser.

Run with `make bench-playground`. A round opens the built one-file page in Chromium, trains 20,000
steps of the book's network while the page draws, and then trains the plain autograd loop as long.
Frames are counted by the page's own clock. The ratio is what to read.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import training
from book_build import chromium
from playwright.sync_api import BrowserContext

from mlpinit import corpus

PAGE = Path(__file__).parents[1] / "_build" / "html" / "playground.html"
STEPS = 20_000
LOOP_STEPS = 4_000
ROUNDS = 3
WATCH = """steps => new Promise((done) => {
  const { run } = document.querySelector("mlp-playground");
  const gaps = [];
  const start = performance.now();
  let last = start;
  const look = (now) => {
    gaps.push(now - last);
    last = now;
    if (run.step < steps) requestAnimationFrame(look);
    else done([performance.now() - start, gaps]);
  };
  document.querySelector(".play-bar button").click();
  requestAnimationFrame(look);
})"""


def in_page(browser: BrowserContext) -> tuple[float, list[float]]:
    """Steps a second, and the milliseconds between frames."""
    page = browser.new_page()
    page.goto(f"{PAGE.as_uri()}#playground:scheme=quiet_output&steps={STEPS}")
    ready = "document.querySelector('mlp-playground').run?.last?.step === 0"
    page.wait_for_function(ready, timeout=120_000)
    page.wait_for_timeout(1000)
    took, gaps = page.evaluate(WATCH, STEPS)
    page.close()
    return STEPS / took * 1000, gaps


def in_torch() -> float:
    """Steps a second of the plain loop."""
    data = corpus.split(corpus.load()).train
    start = time.perf_counter()
    training.autograd_loop(data, LOOP_STEPS, 2147483647)
    return LOOP_STEPS / (time.perf_counter() - start)


def main() -> None:
    """Print a line a round, and the medians."""
    rates, ratios = [], []
    with chromium.launch() as browser:
        for _ in range(ROUNDS):
            page, gaps = in_page(browser)
            loop = in_torch()
            rates.append(page)
            ratios.append(page / loop)
            over = sum(gap > 50 for gap in gaps)
            middle = statistics.median(gaps)
            print(
                f"page {page:6.0f} steps/s, {STEPS / page:4.1f} s for {STEPS:,}; plain loop "
                f"{loop:6.0f} steps/s; frames every {middle:.0f} ms, {over} of {len(gaps)} over 50"
            )
    print(f"median: {statistics.median(rates):.0f} steps/s, {statistics.median(ratios):.2f} loops")


if __name__ == "__main__":
    main()
