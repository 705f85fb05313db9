"""Draw the small PNGs that stand beside the logo: `python -m book_build.pictures`, by hand.

They are kept in the repository, for they change with the logo alone and need a browser.
"""

from __future__ import annotations

from pathlib import Path

from book_build.chromium import launch

__all__ = ["draw"]

WEB = Path(__file__).resolve().parents[2]
ICON = (
    "<body style='margin:0'><img src='{}' style='display:block;width:100vw;height:100vh;{}'></body>"
)


def draw() -> None:
    """Write the card of a shared link, and the icons for what reads no SVG."""
    static = WEB / "static"
    with launch() as browser:
        page = browser.new_page()
        page.set_viewport_size({"width": 1200, "height": 630})
        page.goto((WEB / "card" / "card.html").as_uri())
        page.screenshot(path=static / "card.png")
        # What a telephone puts on its home screen gets its corners rounded there.
        for name, size, style in (("favicon", 32, ""), ("touch-icon", 180, "background:#00609c")):
            page.set_viewport_size({"width": size, "height": size})
            page.goto((static / "favicon.svg").as_uri())
            page.goto((WEB / "card" / "card.html").as_uri())
            page.set_content(ICON.format((static / "favicon.svg").as_uri(), style))
            page.wait_for_load_state("load")
            page.screenshot(path=static / f"{name}.png", omit_background=True)


if __name__ == "__main__":
    draw()
