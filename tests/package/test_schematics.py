import inspect
from itertools import combinations

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.patches import Patch, Rectangle
from matplotlib.transforms import Bbox

from mlpinit import activations, normalize, plots, saturation, schematics
from mlpinit.params import Architecture

mpl.use("agg")

SMALLEST = 12.5 / 470  # of a letter over the figure's width, as in `book_build.figures`
ARCHITECTURES = [
    Architecture(),
    Architecture(vocab_size=65, block_size=8, n_embd=24, hidden=(512,)),
    Architecture(hidden=(100, 50), activation="relu", normalize="batch"),
    Architecture(vocab_size=65, n_embd=24, hidden=(512, 512), normalize="layer"),
    Architecture(hidden=()),
    Architecture(vocab_size=2, block_size=1, n_embd=1, hidden=(1,)),
]
OF_NO_ARCHITECTURE = {
    name: getattr(schematics, name)
    for name in schematics.__all__
    if not inspect.signature(getattr(schematics, name)).parameters
}
ALL = {
    **OF_NO_ARCHITECTURE,
    **{
        f"{draw.__name__}-{i}": lambda draw=draw, arch=arch: draw(arch)
        for draw in (schematics.network, schematics.chain_rule_path)
        for i, arch in enumerate(ARCHITECTURES)
    },
    "deep network": lambda: schematics.network(Architecture(hidden=(100,) * 5), batch=1024),
    "variance-30-200": lambda: schematics.variance_through_layer(30, 200),
    "variance-1-1": lambda: schematics.variance_through_layer(1, 1),
    "variance-1000-3": lambda: schematics.variance_through_layer(1000, 3),
}


@pytest.fixture
def drawn():
    """Draws in the book's style, and closes what it drew."""
    figures = []

    def draw(name_or_call):
        make = ALL[name_or_call] if isinstance(name_or_call, str) else name_or_call
        figures.append(make())
        figures[-1].draw_without_rendering()
        return figures[-1]

    with mpl.rc_context():
        plots.use_style()
        yield draw
    for figure in figures:
        plt.close(figure)


def shown(figure):
    """Every text that is seen, tick labels too."""
    texts = figure.findobj(lambda artist: isinstance(artist, mpl.text.Text))
    bare = [ax for ax in figure.axes if not ax.axison]
    hidden = {id(t) for ax in bare for axis in (ax.xaxis, ax.yaxis) for t in axis.findobj()}
    return [t for t in texts if t.get_text().strip() and t.get_visible() and id(t) not in hidden]


def words(figure):
    return [text.get_text() for text in shown(figure)]


@pytest.mark.parametrize("name", ALL)
def test_no_text_lies_on_another_or_leaves_the_figure(drawn, name):
    figure = drawn(name)
    boxes = {text: text.get_window_extent() for text in shown(figure)}
    assert len(boxes) >= 3
    for (one, a), (other, b) in combinations(boxes.items(), 2):
        assert not a.padded(-1).overlaps(b.padded(-1)), (one.get_text(), other.get_text())
    for text, box in boxes.items():
        within = Bbox.union([box, figure.bbox.padded(0.5)])
        assert within.bounds == figure.bbox.padded(0.5).bounds, text.get_text()


@pytest.mark.parametrize("name", ALL)
def test_letters_are_large_enough_for_a_telephone(drawn, name):
    figure = drawn(name)
    width = 72 * figure.get_size_inches()[0]
    sizes = [text.get_fontsize() for text in shown(figure)]
    assert min(sizes) / width >= SMALLEST


@pytest.mark.parametrize("name", ALL)
def test_every_colour_is_one_of_the_book(drawn, name):
    ours = {getattr(plots, colour) for colour in plots.__all__ if colour.isupper()}
    figure = drawn(name)
    used = [text.get_color() for text in shown(figure)]
    used += [line.get_color() for ax in figure.axes for line in ax.lines]
    backgrounds = {id(figure.patch), *(id(ax.patch) for ax in figure.axes)}
    for patch in figure.findobj(Patch):
        if id(patch) not in backgrounds:
            faces = (patch.get_facecolor(), patch.get_edgecolor())
            used += [colour for colour in faces if colour[3] > 0]
    assert {to_hex(colour) for colour in used} <= ours


@pytest.mark.parametrize("name", ALL)
def test_a_call_draws_one_figure_and_leaves_it_to_the_caller(drawn, name):
    before = plt.get_fignums()
    figure = drawn(name)
    assert [n for n in plt.get_fignums() if n not in before] == [figure.number]


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("batch", [1, 32])
def test_the_network_has_the_shape_of_every_tensor(drawn, arch, batch):
    text = " ".join(words(drawn(lambda: schematics.network(arch, batch))))
    first = arch.block_size * arch.n_embd
    wanted = [(batch, arch.block_size), (arch.vocab_size, arch.n_embd), (batch, first)]
    wanted += [(batch, arch.vocab_size)]
    for fan_in, fan_out in arch.layer_sizes:
        wanted += [(fan_in, fan_out), (fan_out,), (batch, fan_out)]
    assert all(str(shape) in text for shape in wanted)
    assert ("tanh" in text) == (arch.activation == "tanh" and arch.hidden != ())
    assert text.count("gain") == (len(arch.hidden) if arch.normalize else 0)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_path_has_a_factor_for_every_stage(drawn, arch):
    text = words(drawn(lambda: schematics.chain_rule_path(arch)))
    assert [t for t in text if t.startswith("$f'")] != [] or arch.hidden == ()
    assert sum(t.startswith("$W_") for t in text) == len(arch.hidden)
    counts = [t.split("\n")[1] for t in text if "\n" in t]
    first = arch.block_size * arch.n_embd
    assert counts == [str(n) for n in (first, *arch.hidden, arch.vocab_size)]


def test_a_path_through_many_layers_is_refused():
    with pytest.raises(ValueError, match="3 hidden layers do not fit"):
        schematics.chain_rule_path(Architecture(hidden=(5, 5, 5)))


def test_the_three_marks_lie_where_the_map_says(drawn):
    figure = drawn("entry_column_dataset")
    (image,) = figure.axes[0].images
    mask = torch.as_tensor(image.get_array()).bool()
    left, right, bottom, top = image.get_extent()
    side = (right - left) / mask.shape[1]
    assert (top - bottom) / mask.shape[0] == pytest.approx(side)
    marks = [p for p in figure.axes[0].patches if isinstance(p, Rectangle) and p.get_lw() > 3]
    parts = []
    for mark in marks:
        unit = round((mark.get_x() - left) / side)
        last = round((top - mark.get_y()) / side)
        parts.append((unit, last - round(mark.get_height() / side), last))
    (unit, first, last), (column, zero, batch), (dead, start, end) = parts
    assert (last - first, zero, start, end) == (1, 0, 0, len(mask))
    assert mask[first, unit]
    assert not mask[:batch, unit].all()
    assert mask[:batch, column].all()
    assert not mask[:, column].all()
    assert saturation.all_saturated(mask)[dead]


def test_the_step_carries_every_example_below_zero(drawn):
    figure = drawn("reach")
    lines = figure.axes[0].lines
    curve = next(line for line in lines if len(line.get_xdata()) > 100)
    z = torch.as_tensor(curve.get_xdata())
    torch.testing.assert_close(torch.as_tensor(curve.get_ydata()), activations.get("relu").f(z))
    before, after = (
        torch.as_tensor(line.get_xdata()) for line in lines if line.get_marker() == "|"
    )
    step = before - after
    assert step.std() < 1e-12
    assert step[0] > before.max() > 0 > after.max()
    ends = next(line.get_xdata() for line in lines if line.get_marker() == "o")
    assert list(ends) == [before.max(), after.max()]


@pytest.mark.parametrize(("fan_in", "fan_out"), [(30, 200), (200, 27)])
def test_the_variances_are_those_of_drawn_layers(drawn, fan_in, fan_out):
    g = torch.Generator().manual_seed(0)
    W = torch.randn(50, fan_in, fan_out, generator=g) / fan_in**0.5
    forward = (torch.randn(50, 200, fan_in, generator=g) @ W).var().item()
    backward = (torch.randn(50, 200, fan_out, generator=g) @ W.mT).var().item()
    text = words(drawn(lambda: schematics.variance_through_layer(fan_in, fan_out)))
    said = [float(t.split("× ")[1]) for t in text if "× " in t]
    assert said == pytest.approx([forward, backward], rel=0.05)
    assert [t.split()[0] for t in text if "terms" in t] == [str(fan_in), str(fan_out)]


def test_the_shaded_part_is_what_each_norm_averages(drawn):
    for ax, normalizer in zip(drawn("norm_axes").axes, normalize.NORMALIZERS.values(), strict=True):
        shaded = [p for p in ax.patches if p.get_fill()]
        rows, columns = (
            {round(f(p), 6) for p in shaded} for f in (Rectangle.get_y, Rectangle.get_x)
        )
        averaged, single = (rows, columns) if normalizer.axis == -2 else (columns, rows)
        assert len(single) == 1
        assert len(averaged) == len(shaded) > 5
        assert normalizer.label in [t.get_text() for t in ax.texts]


def test_the_stacks_do_what_their_names_say(drawn):
    ax = drawn("residual_branch").axes[1]
    names = [t.get_text() for t in ax.texts]
    first = dict(zip(names, (line.get_ydata()[0].item() for line in ax.lines), strict=True))
    assert first["explodes"] > 30
    assert first["shrinks"] < 1 / 30
    assert 0.3 < first["at the edge"] < 3
    assert 0.3 < first["residual"] < 3
    assert all(line.get_ydata()[-1] == pytest.approx(1) for line in ax.lines)
