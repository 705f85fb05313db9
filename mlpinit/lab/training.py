"""What the playground is made of: its scripts, its style, and the page that stands alone.

The scripts that train are kept as one function, so that a worker can be made from its text: that
works from disk, where a page may not read files.
"""

from __future__ import annotations

from functools import cache

from mlpinit import lab

__all__ = ["page", "script", "style", "words"]

ENGINE = ("random", "matmul", "network", "unpack", "trainer", "serve")
FACE = ("core", "draw", "playground")
ABOUT = (
    "A network of three letters in and one out, trained on surnames in this very page: start it, "
    "break it, rescue it. One file; nothing is loaded, and nothing leaves the machine."
)


@cache
def script() -> str:
    """The code of the playground, one classic script; the words are another."""
    engine = "\n".join(lab.source(f"{name}.js") for name in ENGINE)
    whole = (
        f"(globalThis.mlpinitLab ??= {{}}).engine = () => {{\n{engine}\n}};\nmlpinitLab.engine();"
    )
    return "\n".join((whole, *(lab.source(f"{name}.js") for name in FACE)))


def words() -> str:
    """The surnames, as a classic script that stands before the playground's."""
    return lab.source("words.js")


def style() -> str:
    """The style sheet of all labs and the playground's own."""
    return lab.style() + lab.source("playground.css")


def page(home: str = "") -> str:
    """The playground as one HTML file that needs no other; `home` is the book's address."""
    link = f' <a href="{home}">The book behind it</a>.' if home else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>How neural networks start: the playground</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 1rem auto; padding: 0 1rem;
  background: #ffffff; color: #1f2933; }}
html[data-theme="dark"] body {{ background: #14181c; color: #e6e9ed; }}
html[data-theme="dark"] a {{ color: #6db3f2; }}
h1 {{ font-size: 1.4rem; margin: 0; }}
figure, p {{ margin: 0.4rem 0; }}
{style()}</style>
<script>
const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => {{
  document.documentElement.dataset.theme = dark.matches ? "dark" : "light";
}};
dark.addEventListener("change", follow);
follow();
</script>
</head>
<body>
<main>
<h1>Start it, break it, rescue it</h1>
<p>{ABOUT}{link}</p>
{lab.playground().element()}
</main>
<script>{words()}</script>
<script>{script()}</script>
</body>
</html>
"""
