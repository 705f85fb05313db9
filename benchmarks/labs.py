"""How long does the init lab take from a changed slider to its pictures?

Run with `make bench-labs`: opens the lab in Chromium, at 200 neurons and 32 examples, drags its
weight scale a hundred times, and prints the medians of a whole update (network, gradients, counts,
drawing and words) by depth, beside what it may take; a frame of 60 a second lasts 16.7.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from book_build import chromium

from mlpinit import lab

LIMITS = {1: 8, 10: 16}  # ms, by depth
DRAGS = 100
VIEW = {"width": 1280, "height": 900}

DRAG = """
async ([drags, warm]) => {
  const lab = document.querySelector("mlp-init-lab");
  const slider = lab.querySelector("input[type=range]");
  const times = [];
  const whole = lab.update;
  lab.update = function () {
    const begin = performance.now();
    whole.call(this);
    times.push(performance.now() - begin);
  };
  const [low, high] = [Number(slider.min), Number(slider.max)];
  for (let i = 0; i < warm + drags; i++) {
    slider.value = low + ((i % drags) / (drags - 1)) * (high - low);
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    await new Promise((frame) => requestAnimationFrame(() => setTimeout(frame)));
  }
  return times.slice(-drags);
}
"""


def page(attributes: str) -> str:
    style, script = f"<style>{lab.style()}</style>", f"<script>{lab.script()}</script>"
    element = f"<mlp-init-lab {attributes}></mlp-init-lab>"
    return f"<!doctype html><meta charset=utf-8>{style}<body>{script}{element}"


def measure(attributes: str, drags: int) -> list[float]:
    """Milliseconds of each update, after as many again to warm up."""
    with tempfile.TemporaryDirectory() as folder, chromium.launch(viewport=VIEW) as browser:
        file = Path(folder) / "lab.html"
        file.write_text(page(attributes), encoding="utf-8")
        tab = browser.new_page()
        tab.goto(file.as_uri())
        return tab.evaluate(DRAG, [drags, drags])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--drags", type=int, default=DRAGS)
    parser.add_argument("--activations", nargs="+", default=["tanh", "gelu"])
    args = parser.parse_args()
    print(f"update of the init lab, ms, over {args.drags} drags")
    print(f"{'activation':<12}{'depth':>6}{'median':>9}{'90%':>9}{'limit':>7}")
    for activation in args.activations:
        for depth, limit in LIMITS.items():
            times = measure(f'depth="{depth}" activation="{activation}"', args.drags)
            middle, slow = statistics.median(times), statistics.quantiles(times, n=10)[-1]
            print(f"{activation:<12}{depth:>6}{middle:>9.1f}{slow:>9.1f}{limit:>7}")


if __name__ == "__main__":
    main()
