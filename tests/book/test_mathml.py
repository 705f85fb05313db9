"""Formulas are converted as TeX sets them, and what cannot be converted is refused."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, fromstring

import pytest
from book_build.mathml import FormulaError, characters, mathml

THIN, MEDIUM, THICK = "0.167em", "0.222em", "0.278em"


def drawn(tex: str, *, display: bool = False) -> Element:
    return fromstring(mathml(tex, display=display))[0][0]


def symbols(tex: str, *, display: bool = False) -> list[tuple[str, str, str]]:
    """Each operator with the space before and after it."""
    operators = drawn(tex, display=display).iter("mo")
    return [(mo.text or "", mo.get("lspace", ""), mo.get("rspace", "")) for mo in operators]


def test_the_tex_is_kept() -> None:
    math = fromstring(mathml(r" a < \frac{1}{2} ", display=False))
    assert math[0][1].text == r"a < \frac{1}{2}"
    assert "display" not in math.attrib
    assert fromstring(mathml("a", display=True)).get("display") == "block"


@pytest.mark.parametrize(
    ("tex", "before"),
    [
        ("-a", "−0"),
        ("(-a)", "(0 −0 )0"),
        ("a = -b", f"={THICK} −{THICK}"),
        ("q^*", "∗0"),
        ("x_{i+1}", "+0"),
        ("f(x)", "(0 )0"),
        (r"\lvert x \rvert", "|0 |0"),
        (r"p(y \mid x)", f"(0 ∣{THICK} )0"),
    ],
)
def test_space_before_a_symbol_follows_tex(tex: str, before: str) -> None:
    assert " ".join(symbol + left for symbol, left, _ in symbols(tex)) == before


@pytest.mark.parametrize(
    ("tex", "spaces"),
    [
        ("a + b", (MEDIUM, MEDIUM)),
        ("a = b", (THICK, THICK)),
        ("a, b", ("0", THIN)),
        (r"a \cdot b", (MEDIUM, MEDIUM)),
    ],
)
def test_spaces_on_both_sides(tex: str, spaces: tuple[str, str]) -> None:
    ((_, *got),) = symbols(tex)
    assert tuple(got) == spaces


@pytest.mark.parametrize(("tex", "wanted"), [(r"\log x", True), (r"\log(x)", False)])
def test_name_stands_off_a_letter_but_not_a_bracket(tex: str, wanted: bool) -> None:
    assert (drawn(tex).find("mspace") is not None) == wanted


@pytest.mark.parametrize(
    ("tex", "character"),
    [
        (r"\mathbb E", "𝔼"),
        (r"\mathbb{N}", "ℕ"),
        (r"\mathcal N", "𝒩"),
        (r"\mathsf T", "𝖳"),
        (r"\mathbf{x}", "𝐱"),
    ],
)
def test_other_alphabets_are_characters(tex: str, character: str) -> None:
    assert drawn(tex).text == character
    assert "mathvariant" not in drawn(tex).attrib


@pytest.mark.parametrize("tex", [r"\mathrm{d}", r"\Delta", r"\nabla"])
def test_upright_letters(tex: str) -> None:
    assert drawn(tex).get("mathvariant") == "normal"


def test_limits_stand_below_the_sum_wherever_it_is() -> None:
    (fraction,) = drawn(r"\frac{\sum_{i=1}^n x_i}{2}", display=True).iter("mfrac")
    assert fraction.find(".//munderover") is not None
    assert drawn(r"\max_c", display=True).tag == "munder"
    assert drawn(r"\log_2", display=True).tag == "msub"


def test_prime_stands_beside_its_letter() -> None:
    assert [part.text for part in drawn("f'")] == ["f", "′"]
    assert drawn("f'^2").tag == "msup"
    below = drawn(r"\delta'_k")
    assert below.tag == "msub"
    assert [part.text for part in below[0]][:2] == ["δ", "′"]


def test_big_brackets_have_latex_sizes_also_with_a_script() -> None:
    sizes = [mo.get("minsize") for mo in drawn(r"\big( \Big( \bigg( \Bigg(").iter("mo")]
    assert sizes == ["1.2em", "1.8em", "2.4em", "3em"]
    script = drawn(r"\Big)^2")
    assert script[0].tag == "mrow"
    assert script[0][0].get("stretchy") == "true"


def test_brackets_grow_only_when_told_to() -> None:
    assert all(mo.get("stretchy") == "false" for mo in drawn(r"(\frac12)").iter("mo"))
    assert all(mo.get("stretchy") == "true" for mo in drawn(r"\left(\frac12\right)").iter("mo"))
    assert len(list(drawn(r"\left.x\right|").iter("mo"))) == 1


def test_columns_and_rows() -> None:
    table = drawn(r"\begin{aligned} a &= b \\ &- c \end{aligned}", display=True)
    assert table.get("class") == "aligned"
    assert [len(row) for row in table] == [2, 2]
    minus = table[1][1].find("mo")
    assert (minus.text, minus.get("lspace"), minus.get("rspace")) == ("−", MEDIUM, MEDIUM)
    assert drawn(r"\begin{gathered} a \\ b \end{gathered}", display=True).get("class") == "gathered"
    cases = drawn(r"\begin{cases} 1 & a \\ 0 & b \end{cases}")
    assert cases.find("mtable").get("class") == "cases"


@pytest.mark.parametrize(
    ("tex", "reason"),
    [
        (r"\nonsense x", r"\nonsense"),
        (r"\begin{align} a &= b \end{align}", "'align'"),
        (r"\frac{a}", "missing"),
        ("{a", "braces"),
        ("a & b", "& stands outside"),
        (r"a \\ b", r"\\ stands outside"),
        ("x_1_2", "double subscripts"),
        (r"\left( a", "extra left or missing right"),
        (r"a \boxplus b", "KINDS"),
    ],
)
def test_what_cannot_be_set_is_refused(tex: str, reason: str) -> None:
    with pytest.raises(FormulaError, match=re.escape(reason)):
        mathml(tex, display=True)


def test_characters_are_what_is_drawn() -> None:
    used = characters(mathml(r"\sqrt{h} + \mathrm{d} a_1 \text{ if}", display=False))
    assert used == set("√hℎ+da𝑎1\xa0if")
