"""The drawing of an expression: what it says, that nothing overlaps, that it is the same again."""

import io
from itertools import combinations, pairwise

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.path import Path

from mlpinit.scalar import Value, topological_order
from mlpinit.scalar_graph import _layout, _number, expression_graph


def neuron():
    x1, w1, x2, w2 = Value(2.0, "x1"), Value(0.4, "w1"), Value(-1.0, "x2"), Value(0.5, "w2")
    n = x1 * w1 + x2 * w2 + Value(0.25, "b")
    n.label = "n"
    o = n.tanh()
    o.label = "o"
    o.backward()
    return o


def reused():
    x, y = Value(0.6, "x"), Value(1.5, "y")
    h = (x * y + x).tanh()
    return (h - y) ** 2 + x * x * 0.1 + (x / y).exp().log() + (-h).relu()


def chain(n):
    y = Value(0.1, "x")
    for _ in range(n):
        y = y.tanh()
    return y


def draw(root, **options):
    return expression_graph(Figure(figsize=(8, 3.2)).subplots(), root, **options)


def texts(ax):
    return [p.get_label() for p in ax.patches if p.get_label()]


def is_closed(patch):
    return patch.get_path().codes is not None and patch.get_path().codes[-1] == Path.CLOSEPOLY


def frames(ax):
    """The extents of every box and badge."""
    return [p.get_path().get_extents() for p in ax.patches if not p.get_fill() and is_closed(p)]


def curves(ax):
    """Points along every line, close together: (n, 2)."""
    lines = [p.get_path() for p in ax.patches if not p.get_fill() and not is_closed(p)]
    curves = [curve for line in lines for curve, code in line.iter_bezier() if code != Path.MOVETO]
    return np.concatenate([np.array(curve(np.linspace(0, 1, 50))) for curve in curves])


def assert_nothing_overlaps(ax):
    boxes = frames(ax)
    for a, b in combinations(boxes, 2):
        overlap = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert min(overlap) < 1e-9, f"{a} and {b} overlap by {overlap}"
    if len(boxes) > 1:
        points = curves(ax)
        for box in boxes:
            within = np.all((points > box.min + 0.01) & (points < box.max - 0.01), axis=1)
            assert not within.any(), f"a line passes {points[within][0]} in {box}"
    for patch in ax.patches:
        if patch.get_label():
            words = patch.get_path().get_extents()
            around = [b for b in boxes if np.all(b.min < words.min) and np.all(words.max < b.max)]
            assert around, f"{patch.get_label()!r} leaves its box"


def test_the_neuron_says_every_value_gradient_and_operation():
    boxes = """x1 = 2.00, grad 0.30, w1 = 0.40, grad 1.50, x2 = −1.00, grad 0.37, w2 = 0.50,
        grad −0.75, 0.80, grad 0.75, −0.50, grad 0.75, 0.30, grad 0.75, b = 0.25, grad 0.75,
        n = 0.55, grad 0.75, o = 0.50, grad 1.00"""
    expected = [*(line.strip() for line in boxes.split(",")), "×", "×", "+", "+", "tanh"]
    assert sorted(texts(draw(neuron()))) == sorted(expected)


def test_gradients_can_be_left_out():
    assert not any("grad" in text for text in texts(draw(neuron(), show_grad=False)))


@pytest.mark.parametrize(
    "root", [neuron(), reused(), Value(1.0), Value(1.0, "x") * 2, chain(12)], ids=range(5)
)
@pytest.mark.parametrize("show_grad", [True, False])
def test_nothing_overlaps(root, show_grad):
    assert_nothing_overlaps(draw(root, show_grad=show_grad))


@st.composite
def graphs(draw_from):
    """A random expression in which later steps reuse any earlier value."""
    values = [Value(0.5, "x"), Value(-1.25, "a long label")]
    for _ in range(draw_from(st.integers(0, 10))):
        a, b = (values[draw_from(st.integers(0, len(values) - 1))] for _ in range(2))
        step = draw_from(
            st.sampled_from([lambda a, b: (a + b).tanh(), Value.__sub__, Value.__mul__])
        )
        values.append(step(a, b))
    return values[-1]


@settings(max_examples=25, deadline=None)
@given(graphs())
def test_nothing_overlaps_in_any_graph(root):
    assert_nothing_overlaps(draw(root))


@given(graphs())
def test_arguments_stand_left_of_results_and_rows_keep_their_distance(root):
    values = topological_order(root)
    layout = _layout(values)
    column = {i: c for c, items in enumerate(layout.columns) for i in items}
    assert column[len(values) - 1] == len(layout.columns) - 1
    for *_, route in layout.routes:
        assert [column[b] - column[a] for a, b in pairwise(route)] == [1] * (len(route) - 1)
    for items in layout.columns:
        assert all(layout.y[b] - layout.y[a] > 1 - 1e-9 for a, b in pairwise(items))


def test_the_neuron_has_no_crossings_and_keeps_its_inputs_in_order():
    values = topological_order(neuron())
    labels = [[values[i].label for i in items] for items in _layout(values).columns]
    assert labels == [["x1", "w1", "x2", "w2"], ["", ""], ["", "b"], ["n"], ["o"]]


def test_sweeps_undo_crossings():
    a, b, c, d = (Value(1.0, name) for name in "abcd")
    root = (a * c + b * d) * (a.tanh() + c)
    assert_nothing_overlaps(draw(root))
    x, y = Value(1.0, "x"), Value(2.0, "y")
    p, q = y.exp(), x.exp()
    values = topological_order((q + x.tanh()) * (p + y.tanh()))
    first = [values[i].label for i in _layout(values).columns[0]]
    assert first == ["x", "y"]


def test_a_value_used_twice_by_one_operation_gets_two_arrows():
    x = Value(3.0, "x")
    heads = [p for p in draw(x * x).patches if p.get_fill() and not p.get_label()]
    assert len(heads) == 2


def test_the_colour_is_that_of_text_and_the_background_shows_through():
    with mpl.rc_context({"text.color": "#123456"}):
        ax = draw(neuron())
    for patch in ax.patches:
        colour = patch.get_facecolor() if patch.get_fill() else patch.get_edgecolor()
        assert mpl.colors.to_hex(colour) == "#123456"
    assert not ax.axison


def test_returns_its_axes_and_draws_the_same_again():
    def picture():
        ax = Figure(figsize=(8, 3.2), layout="constrained").subplots()
        assert expression_graph(ax, reused()) is ax
        out = io.BytesIO()
        ax.figure.savefig(out, format="png")
        return out.getvalue()

    assert picture() == picture()


def test_everything_lies_within_the_view():
    for root in (neuron(), reused(), Value(1.0), chain(20)):
        ax = draw(root)
        (x0, x1), (y0, y1) = ax.get_xlim(), ax.get_ylim()
        for b in frames(ax):
            assert x0 < b.x0 < b.x1 < x1
            assert y0 < b.y0 < b.y1 < y1


def test_a_large_graph_is_refused():
    with pytest.raises(ValueError, match=r"has 61 values; at most 60.*smaller expression"):
        draw(chain(60))


@pytest.mark.parametrize(
    ("number", "text"),
    {
        0.0: "0.00",
        2.0: "2.00",
        -0.754: "−0.75",
        0.0109: "0.011",
        1e-6: "1.0e−06",
        9999.0: "9999.00",
        12345.6: "1.2e+04",
        -1e-300: "−1.0e−300",
    }.items(),
)
def test_numbers_stay_short(number, text):
    assert _number(number) == text


def test_minus_0_reads_as_0():
    assert _number(-0.0) == "0.00"
