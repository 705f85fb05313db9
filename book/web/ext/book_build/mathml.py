"""TeX to MathML that every browser draws alike: of MathML the Core alone.

latex2mathml reads the TeX. What it leaves to a browser's taste, or writes in ways that browsers
have dropped, is settled here: the space between symbols follows TeX's own table, letters of other
alphabets are their Unicode characters, limits stand where TeX sets them, columns are classes that
a style sheet aligns.
"""

from __future__ import annotations

import functools
import html
import re
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, tostring

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["FormulaError", "characters", "mathml"]


class FormulaError(ValueError):
    """A formula that cannot be set; the message says what in it."""


# What kind of atom a symbol is, as in TeX: this settles the space on either side of it.
ORD, OP, BIN, REL, OPEN, CLOSE, PUNCT, INNER = range(8)
KINDS = {
    BIN: "+−±∓×÷⋅·∗∘⊙⊗⊕∧∨∩∪∖",
    REL: "=≠<>≤≥≪≫≈∼≃≅≡∝∈∉∋⊂⊆⊃⊇∣∥←→↔⇐⇒⇔⟵⟶⟷⟸⟹⟺↦⟼:≔",
    OPEN: "([{⟨⌊⌈",
    CLOSE: ")]}⟩⌋⌉!?",
    PUNCT: ",;",
    OP: "∑∏∐∫∬∮⋃⋂⨁⨂",
    INNER: "…⋯",
    ORD: "|‖/.∀∃′″‴⁗",
}
KIND_OF = {symbol: kind for kind, symbols in KINDS.items() for symbol in symbols}
UPRIGHT = "∇∞∅⊤⊥%"
LETTERS = UPRIGHT + "∂"  # symbols that are set as a letter is
FENCES = "()[]{}|‖⟨⟩⌊⌋⌈⌉"
TAKE_LIMITS = {"max", "min", "sup", "inf", "lim", "det", "Pr"}

# The space between two atoms, in mu (18 to an em); those after `~` vanish in sub- and superscripts.
SPACES = """
          Ord Op  Bin Rel Open Close Punct Inner
Ord       0   3   ~4  ~5  0    0     0     ~3
Op        3   3   0   ~5  0    0     0     ~3
Bin       ~4  ~4  0   0   ~4   0     0     ~4
Rel       ~5  ~5  0   0   ~5   0     0     ~5
Open      0   0   0   0   0    0     0     0
Close     0   3   ~4  ~5  0    0     0     ~3
Punct     ~3  ~3  0   ~3  ~3   ~3    ~3    ~3
Inner     ~3  3   ~4  ~5  ~3   0     ~3    ~3
"""
SPACE = [row.split()[1:] for row in SPACES.strip().splitlines()[1:]]

# latex2mathml makes no difference between these, so they are given to it as characters of our own.
OURS = {
    r"\lvert": ("\ue000", "|", OPEN),
    r"\rvert": ("\ue001", "|", CLOSE),
    r"\lVert": ("\ue002", "‖", OPEN),
    r"\rVert": ("\ue003", "‖", CLOSE),
}
PRIVATE = {private: (symbol, kind) for private, symbol, kind in OURS.values()}
ENVIRONMENTS = {"aligned": "split", "gathered": "displaylines", "cases": "cases"}
# \big, \Big, \bigg, \Bigg: latex2mathml's sizes, and LaTeX's.
BIG = {"1.2em": "1.2em", "1.623em": "1.8em", "2.047em": "2.4em", "2.470em": "3em"}
FONTS = ("double-struck", "sans-serif", "script", "fraktur", "bold", "monospace")
ITALICS = {
    chr(int(unicodedata.decomposition(x).split()[1], 16)): x
    for x in map(chr, [*range(0x1D434, 0x1D468), *range(0x1D6E2, 0x1D71C)])
    if unicodedata.decomposition(x)
} | {"h": "ℎ"}
TYPESET = {"*": "∗", "~": "∼", "·": "⋅"}
ACCENTS = {"^": "ˆ", "¯": "ˉ", "~": "˜", "→": "→", "˙": "˙", "¨": "¨", "―": "‾"}
PRIMES = "′″‴⁗"
SCRIPTED = {"msub", "msup", "msubsup", "munder", "mover", "munderover"}
PARTS = dict.fromkeys(("mfrac", "mroot", *SCRIPTED), 2) | {"msubsup": 3, "munderover": 3}
LIMITS = {"msub": "munder", "msup": "mover", "msubsup": "munderover"}


@dataclass(frozen=True)
class Style:
    """How TeX sets a part of a formula: with large operators and limits, or as a script."""

    display: bool
    script: bool = False

    @property
    def smaller(self) -> Style:
        """The style of a sub- or superscript."""
        return Style(display=False, script=True)

    @property
    def fraction(self) -> Style:
        """The style of a numerator or denominator."""
        return Style(display=False, script=self.script or not self.display)


@functools.lru_cache(maxsize=2048)
def mathml(tex: str, *, display: bool) -> str:
    """Return `<math>` for a formula, with its TeX as an annotation; raise `FormulaError`."""
    tex = tex.strip()
    root = read(tex, display=display)
    decode(root)
    math = Element("math", {"display": "block"} if display else {})
    semantics = SubElement(math, "semantics")
    semantics.append(row(root[0], Style(display=display)))
    for element in semantics.iter():
        element.attrib.pop("kind", None)
    SubElement(semantics, "annotation", encoding="application/x-tex").text = tex
    return tostring(math, encoding="unicode", short_empty_elements=False)


def characters(formula: str) -> set[str]:
    """Return the characters a font needs for what `mathml` returned, its TeX left out.

    A single letter is drawn in italics, which are characters of their own.
    """
    drawn = re.sub(r"<annotation.*?</annotation>", "", formula, flags=re.DOTALL)
    letters = {ITALICS.get(x, x) for x in re.findall(r"<mi>(.)</mi>", drawn)}
    roots = set("√" if re.search(r"<(msqrt|mroot)", drawn) else "")
    return set(html.unescape(re.sub(r"<[^>]*>", "", drawn))) | letters | roots


def read(tex: str, *, display: bool) -> Element:
    """Let latex2mathml read the formula, once it is known to be whole."""
    from latex2mathml.converter import convert_to_element  # noqa: PLC0415 (a page without formulas)

    bare = re.sub(r"\\[{}]", "", tex)
    if bare.count("{") != bare.count("}"):
        raise FormulaError("its braces { } do not pair")
    for environment in re.findall(r"\\begin\{([^}]*)\}", tex):
        if environment not in ENVIRONMENTS:
            known = ", ".join(ENVIRONMENTS)
            raise FormulaError(f"the environment '{environment}' is not one of {known}")
    for ours, (private, _, _) in OURS.items():
        tex = re.sub(re.escape(ours) + r"(?![A-Za-z])", private, tex)
    for theirs, same in ENVIRONMENTS.items():
        tex = re.sub(rf"\\(begin|end)\{{{theirs}\}}", rf"\\\1{{{same}}}", tex)
    try:
        return convert_to_element(tex, display="block" if display else "inline")
    except Exception as error:  # it raises whatever it stumbles over
        reason = re.sub(r"(?<!^)(?=[A-Z])", " ", type(error).__name__).lower()
        raise FormulaError(f"latex2mathml does not read it ({reason}: {error})") from error


def decode(element: Element) -> None:
    """Turn the references in the texts into characters; reject what was passed through unread."""
    for node in element.iter():
        raw = node.text or ""
        node.text = text = html.unescape(raw)
        if node.tag == "mtext":
            node.text = re.sub(r"\\([&%$#_{}])", r"\1", text)
        elif text.startswith("\\") and len(text) > 1:
            raise FormulaError(f"{text} is not a command that latex2mathml knows")
        elif text == "&" and raw == "&":
            raise FormulaError("& stands outside of an environment with columns")
        elif node.tag == "mi" and raw != text and len(text) == 1 and text.isascii():
            # A plain letter comes as itself; one from \mathrm comes as a reference.
            node.set("mathvariant", "normal")
        if node.get("linebreak"):
            raise FormulaError(r"\\ stands outside of an environment with rows")


def settle(element: Element, style: Style) -> Element:
    """Return the element as MathML Core, its parts settled first."""
    tag = element.tag
    if len(element) != PARTS.get(tag, len(element)):
        raise FormulaError(f"a part of a fraction, root or script is missing (<{tag}>)")
    if tag == "mrow":
        return row(element, style)
    if tag == "mtable":
        return table(element)
    if tag in {"mi", "mo", "mn", "mtext", "mspace"}:
        return token(element)
    if tag in SCRIPTED:
        return scripted(element, style)
    new = Element(tag, dict(element.attrib))
    if tag == "mfrac":
        new.extend([settle(part, style.fraction) for part in element])
    elif tag == "mroot":
        new.extend([settle(element[0], style), settle(element[1], style.smaller)])
    elif tag in {"mstyle", "msqrt", "mpadded", "mphantom"}:
        if tag == "mstyle":
            style = Style(display=element.get("displaystyle", "true") == "true")
        new.append(row(element, style))
    else:
        raise FormulaError(f"<{tag}> is not set by book_build.mathml")
    return new


def leaf(tag: str, text: str, kind: int | None = None, **attributes: str) -> Element:
    """Make an element without parts; a symbol's spaces are those of the row it will stand in."""
    new = Element(tag, {"lspace": "0", "rspace": "0"} if tag == "mo" else {})
    new.attrib.update(attributes)
    new.text = text
    if kind is not None:
        new.set("kind", str(kind))
    return new


def space(mu: float) -> Element:
    """Make a space of so many mu, which are eighteenths of an em."""
    return Element("mspace", width=em(mu))


def em(mu: float) -> str:
    """Write a width given in mu."""
    return f"{mu / 18:.3g}em"


def token(element: Element) -> Element:
    """Settle a leaf: a letter, a number, a symbol, a name, a text or a space."""
    tag, text, variant = element.tag, element.text or "", element.get("mathvariant")
    if tag == "mspace":
        return Element("mspace", width=element.get("width", "0"))
    if tag == "mtext":
        return space(4.5) if text == "\xa0" else leaf("mtext", text)
    if text in PRIVATE:
        symbol, kind = PRIVATE[text]
        return leaf("mo", symbol, kind, stretchy="false")
    if variant in FONTS:
        return leaf(tag, "".join(in_font(x, variant) for x in text))
    if tag == "mn":
        return leaf("mn", text)
    if len(text) == 1 and (text.isalpha() or text in LETTERS):
        upright = variant == "normal" or text in UPRIGHT or "Α" <= text <= "Ω"
        return leaf("mi", text, **({"mathvariant": "normal"} if upright else {}))
    if text in TAKE_LIMITS:
        return leaf("mo", text, OP, movablelimits="true")
    if text.isascii() and text.isalpha():
        return leaf("mi", text, OP)
    return symbol_of(element, text)


def in_font(letter: str, font: str) -> str:
    """Return a letter's character in another alphabet."""
    name = unicodedata.name(letter).removeprefix("LATIN ").replace(" LETTER", "")
    for prefix in ("MATHEMATICAL ", ""):
        with suppress(KeyError):
            return unicodedata.lookup(f"{prefix}{font.upper()} {name}")
    raise FormulaError(f"there is no {font} '{letter}'")


def symbol_of(element: Element, text: str) -> Element:
    """Settle a symbol: it grows with what is beside it only if the TeX says so."""
    text = TYPESET.get(text, text)
    if text not in KIND_OF:
        raise FormulaError(f"'{text}' is in none of KINDS in book_build/mathml.py")
    new = leaf("mo", text, KIND_OF[text])
    if size := element.get("minsize"):  # \big and its like
        size = BIG.get(size, size)
        new.attrib.update(stretchy="true", symmetric="true", minsize=size, maxsize=size)
    elif form := element.get("form"):  # \left and \right
        new.attrib.update(stretchy="true", symmetric="true", form=form)
        new.set("kind", str(OPEN if form == "prefix" else CLOSE))
    elif text in FENCES:
        new.set("stretchy", "false")
    return new


def scripted(element: Element, style: Style) -> Element:
    """Settle a base with its scripts, its limits, its accent or its brace."""
    base, first = settle(element[0], style), element[1]
    new = Element(element.tag)
    if first.tag == "mo" and element.tag == "mover" and first.text in ACCENTS:
        stretchy = "true" if first.text == "―" else "false"
        new.attrib.update(accent="true", kind=str(ORD))
        new.extend([base, leaf("mo", ACCENTS[first.text], stretchy=stretchy)])
        return new
    if first.tag == "mo" and first.text == "⏟":
        new.set("kind", str(ORD))
        new.extend([base, leaf("mo", "⏟", stretchy="true")])
        return new
    if base.tag == "mo" and kind_of(base) == OP:
        new.tag = LIMITS.get(new.tag, new.tag)
    elif base.get("stretchy") == "true":
        base = side_by_side([base], kind_of(base))  # it grows only where it stands in a row
    return with_primes(new, base, [settle(script, style.smaller) for script in element[1:]])


def with_primes(new: Element, base: Element, scripts: list[Element]) -> Element:
    """Fill `new`, a prime beside its base: the font's is made to stand there, not to be raised."""
    above = scripts[-1]
    prime = above[0] if above.tag == "mrow" and len(above) else above
    if new.tag not in {"msup", "msubsup"} or prime.tag not in {"mi", "mo"}:
        prime = None
    if prime is None or prime.text not in tuple(PRIMES):
        new.extend([base, *scripts])
        return new
    kind = kind_of(base)
    rest = side_by_side(list(above)[1:], ORD) if above is not prime else None
    below = scripts[:-1]
    primed = side_by_side([base, prime, *([space(-3)] if below else [])], kind)
    if rest is None and not below:
        return primed
    left = [*below, *([rest] if rest is not None else [])]
    new.tag = "msubsup" if len(left) == 2 else "msub" if below else "msup"
    new.extend([primed, *left])
    return new


def side_by_side(parts: list[Element], kind: int) -> Element:
    """Put settled elements in a row."""
    new = Element("mrow", kind=str(kind))
    new.extend(parts)
    return new


def table(element: Element) -> Element:
    """Settle rows and columns; the class says how a style sheet aligns them."""
    shown = element.get("displaystyle") == "true"
    aligned = element.get("columnspacing") == "0em"
    cases = element.find("mtr/mtd[@columnalign='left']") is not None and not aligned
    new = Element("mtable", {"class": "aligned" if aligned else "cases" if cases else "gathered"})
    if shown:
        new.set("displaystyle", "true")
    for line in element.iter("mtr"):
        made = SubElement(new, "mtr")
        for column, cell in enumerate(line):
            # As in LaTeX: what begins a right-hand column follows on what is left of it.
            before = ORD if aligned and column % 2 else None
            parts = [part for part in cell if part.tag != "mi" or part.text]
            SubElement(made, "mtd").extend(spaced(parts, Style(display=shown), before))
    return new


def row(element: Element, style: Style) -> Element:
    """Settle what stands side by side; one alone needs no row, and counts as a letter."""
    fenced = len(element) > 0 and element[0].tag == "mo" and element[0].get("form") == "prefix"
    parts = spaced(element, style)
    if len(parts) == 1:
        parts[0].set("kind", str(ORD))
        return parts[0]
    return side_by_side(parts, INNER if fenced else ORD)


def spaced(elements: Iterable[Element], style: Style, before: int | None = None) -> list[Element]:
    """Settle elements and set them apart as TeX does."""
    wanted = (e for e in elements if e.tag != "mo" or e.text)  # not \left. and \right.
    parts = [settle(element, style) for element in wanted]
    atoms = [i for i, part in enumerate(parts) if part.tag != "mspace"]
    kinds = as_used([kind_of(parts[i]) for i in atoms], before)
    extra: dict[int, Element] = {}
    for n, i in enumerate(atoms):
        left = kinds[n - 1] if n else before
        width = 0 if left is None else gap(left, kinds[n], style)
        if not width:
            continue
        if parts[i].tag == "mo":
            parts[i].set("lspace", em(width))
        elif n and parts[atoms[n - 1]].tag == "mo":
            parts[atoms[n - 1]].set("rspace", em(width))
        else:
            extra[i] = space(width)
    return [x for i, part in enumerate(parts) for x in ([extra[i]] if i in extra else []) + [part]]


def kind_of(element: Element) -> int:
    """Return the kind of atom: an element's own, or that of the base of its scripts."""
    own = element.get("kind")
    if own is None and element.tag in SCRIPTED:
        return kind_of(element[0])
    return ORD if own is None else int(own)


def as_used(kinds: list[int], before: int | None) -> list[int]:
    """Return the kinds, a sign without something on both sides being a letter: -1, (+a), q^*."""
    used: list[int] = []
    for n, kind in enumerate(kinds):
        last = used[-1] if used else before
        after = kinds[n + 1] if n + 1 < len(kinds) else None
        alone = last in {None, BIN, OP, REL, OPEN, PUNCT} or after in {None, REL, CLOSE, PUNCT}
        used.append(ORD if kind == BIN and alone else kind)
    return used


def gap(left: int, right: int, style: Style) -> int:
    """Return the space between two kinds of atoms, in mu."""
    entry = SPACE[left][right]
    return 0 if entry.startswith("~") and style.script else int(entry.lstrip("~"))
