import io

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
import torch

from mlpinit import init, plots
from mlpinit.activations import ACTIVATIONS

mpl.use("agg")


@pytest.fixture
def ax():
    with mpl.rc_context():
        plots.use_style()
        figure, axes = plt.subplots()
        yield axes
        plt.close(figure)


def heights(ax):
    return torch.tensor([patch.get_height() for patch in ax.patches])


def test_the_histogram_counts_every_entry_once(ax):
    h = torch.randn(32, 200, generator=torch.Generator().manual_seed(0)).tanh()
    assert plots.activation_histogram(ax, h) is ax
    assert len(ax.patches) == 50
    assert heights(ax).sum().item() == pytest.approx(100, rel=1e-5)
    assert ax.get_xlabel()
    assert ax.get_ylabel() == "entries (%)"


def test_the_map_has_neurons_across_examples_down_and_white_for_saturated(ax):
    mask = torch.zeros(4, 7, dtype=torch.bool)
    mask[1, 5] = True
    assert plots.saturation_map(ax, mask) is ax
    (image,) = ax.images
    assert image.get_array().shape == (4, 7)
    assert image.to_rgba(image.get_array())[1, 5, :3].tolist() == [1, 1, 1]
    assert image.to_rgba(image.get_array())[0, 0, :3].tolist() == [0, 0, 0]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("neuron", "example")
    top, bottom = ax.get_ylim()[::-1]
    assert top < bottom, "the first example is drawn on top"
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["saturated", "not saturated"]


def test_the_map_can_do_without_its_legend(ax):
    assert plots.saturation_map(ax, torch.ones(2, 2), legend=False).get_legend() is None


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("draw", [plots.activation_curve, plots.slope_curve])
def test_curves_draw_the_function_and_shade_where_it_is_flat(ax, name, draw):
    assert draw(ax, name, limit=6) is ax
    a = ACTIVATIONS[name]
    z, y = (torch.tensor(v) for v in ax.lines[0].get_data())
    want = a.f(z) if draw is plots.activation_curve else a.slope(z, a.f(z))
    torch.testing.assert_close(y, want)
    kinds = [kind for kind in (a.left, a.right) if kind != "no"]
    assert len(ax.patches) == len(kinds)


def test_nothing_is_shaded_where_the_flat_part_is_out_of_sight(ax):
    assert not plots.activation_curve(ax, "tanh", limit=2).patches


def test_the_loss_curve_is_the_mean_over_windows(ax):
    losses = torch.arange(1001, dtype=torch.float64)
    assert plots.loss_curve(ax, losses, window=100, label="x") is ax
    steps, mean = ax.lines[0].get_data()
    assert steps.tolist() == [50 + 100 * i for i in range(10)]
    assert mean.tolist() == [49.5 + 100 * i for i in range(10)]


def test_a_short_run_is_one_window(ax):
    plots.loss_curve(ax, torch.tensor([3.0, 1.0]))
    assert ax.lines[0].get_ydata().tolist() == [2.0]


def test_the_sweep_draws_the_mean_and_a_band_of_extremes(ax):
    values = torch.tensor([[1.0, 3.0], [2.0, 6.0]])
    assert plots.sweep(ax, torch.tensor([0.1, 1.0]), values) is ax
    assert ax.lines[0].get_ydata().tolist() == [2.0, 4.0]
    band = ax.collections[0].get_paths()[0].vertices
    assert set(band[:, 1].tolist()) == {1.0, 2.0, 3.0, 6.0}
    assert ax.get_xscale() == "log"


def test_a_sweep_may_be_linear(ax):
    assert (
        plots.sweep(ax, torch.tensor([1.0]), torch.ones(1, 2), log=False).get_xscale() == "linear"
    )


@pytest.mark.parametrize("values", [torch.ones(3, 2), torch.ones(2)])
def test_a_sweep_of_another_form_is_refused(ax, values):
    with pytest.raises(ValueError, match=r"do not fit; wanted x \(n_x,\) and values"):
        plots.sweep(ax, torch.tensor([0.1, 1.0]), values)


def test_the_gradient_histogram_tells_exact_zeros(ax):
    gradients = {"W": torch.tensor([0.0, 0.1, 0.01, 1.0]), "b": torch.tensor([0.1, -0.2])}
    assert plots.gradient_histogram(ax, gradients, colours={"b": plots.GREEN}) is ax
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["W (25% exactly 0)", "b"]
    assert ax.patches[1].get_edgecolor()[:3] == pytest.approx(mpl.colors.to_rgb(plots.GREEN))


def test_gradients_that_are_all_zero_are_drawn_as_that(ax):
    plots.gradient_histogram(ax, {"W": torch.zeros(5)})
    assert ax.get_legend().get_texts()[0].get_text() == "W (100% exactly 0)"


def test_schemes_keep_their_colours_and_the_colours_differ():
    schemes = [
        init.AS_DRAWN,
        init.QUIET_OUTPUT,
        init.scaled(0.1, 0.01),
        init.scaled(0.2, 0.01),
        init.kaiming(),
    ]
    colours = [plots.scheme_colour(scheme) for scheme in schemes]
    assert len(set(colours)) == 5
    assert plots.scheme_colour(init.scaled(0.7, 0)) == plots.GREY


def luminance(colour):
    rgb = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in mpl.colors.to_rgb(colour)
    ]
    return 0.2126 * rgb[0] + 0.7152 * rgb[1] + 0.0722 * rgb[2]


def contrast(a, b):
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", ["VERMILION", "ORANGE", "SKY", "BLUE", "GREEN", "PINK", "GREY"])
def test_every_colour_can_be_told_from_the_light_and_the_dark_page(name):
    colour = getattr(plots, name)
    assert contrast(colour, "#ffffff") >= 3
    assert contrast(colour, "#14181e") >= 3


def test_a_figure_is_the_same_bytes_each_time():
    def svg():
        with mpl.rc_context():
            plots.use_style()
            figure, ax = plt.subplots()
            plots.saturation_map(ax, torch.ones(3, 4))
            file = io.BytesIO()
            figure.savefig(file, format="svg", metadata={"Date": None})
            plt.close(figure)
            return file.getvalue()

    first = svg()
    assert first == svg()
    assert b"#1f2933" in first
