import io

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from mlpinit import plots, stacking

mpl.use("agg")


@pytest.fixture
def subplots():
    """Panels in the book's style, closed afterwards."""
    figures = []

    def make(*args, **kwargs):
        figure, axes = plt.subplots(*args, **kwargs)
        figures.append(figure)
        return figure, axes

    with mpl.rc_context():
        plots.use_style()
        yield make
    for figure in figures:
        plt.close(figure)


def svg(figure):
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def places(figure):
    figure.draw_without_rendering()
    return [ax.get_position().bounds for ax in figure.axes]


@pytest.mark.parametrize("n", [2, 3, 4])
def test_panels_stand_one_above_the_other_and_then_as_before(subplots, n):
    figure, _ = subplots(1, n)
    before, size, picture = places(figure), figure.get_size_inches().tolist(), svg(figure)
    with stacking.stacked(figure) as same:
        assert same is figure
        assert figure.get_size_inches()[0] < size[0]
        assert figure.get_size_inches()[1] > (n - 0.5) * min(size[1], 3)
        stood = places(figure)
        tops = [bottom + height for _, bottom, _, height in stood]
        assert len(stood) == n
        for (_, bottom, width, _), top_of_next in zip(stood, tops[1:], strict=False):
            assert bottom > top_of_next
            assert width > 0.6
    assert figure.get_size_inches().tolist() == size
    assert places(figure) == before
    assert svg(figure) == picture


def test_a_shared_axis_has_its_ticks_and_label_in_every_panel(subplots):
    figure, axes = subplots(1, 3, sharey=True)
    axes[0].set_ylabel("loss")
    axes[2].set_ylabel("its own")

    def seen():
        figure.draw_without_rendering()
        return [any(t.get_visible() and t.get_text() for t in ax.get_yticklabels()) for ax in axes]

    assert seen() == [True, False, False]
    with stacking.stacked(figure):
        assert seen() == [True, True, True]
        assert [ax.get_ylabel() for ax in axes] == ["loss", "loss", "its own"]
    assert seen() == [True, False, False]
    assert [ax.get_ylabel() for ax in axes] == ["loss", "", "its own"]


def test_a_label_that_the_first_panel_gave_for_all_is_repeated(subplots):
    figure, axes = subplots(1, 3)
    axes[0].set_ylabel("loss")
    axes[2].axis("off")
    with stacking.stacked(figure):
        assert [ax.get_ylabel() for ax in axes] == ["loss", "loss", ""]
    assert [ax.get_ylabel() for ax in axes] == ["loss", "", ""]


def test_colour_bars_follow_their_panels(subplots):
    figure, axes = subplots(1, 2)
    bars = [figure.colorbar(ax.imshow([[0, 1]]), ax=ax, location="bottom") for ax in axes]
    assert stacking.in_a_grid(figure)
    with stacking.stacked(figure):
        figure.draw_without_rendering()
        for ax, bar in zip(axes, bars, strict=True):
            assert bar.ax.get_position().y1 <= ax.get_position().y0
        assert bars[0].ax.get_position().y0 > axes[1].get_position().y1


@pytest.mark.parametrize("layout", [(2, 2), (2, 3), (3, 2)])
def test_a_grid_is_stacked_as_it_is_read(subplots, layout):
    figure, axes = subplots(*layout, sharex=True, sharey="row")
    for column, ax in enumerate(axes[0]):
        ax.set_title(f"title {column}")
    for row, ax in enumerate(axes[:, 0]):
        ax.set_ylabel(f"row {row}")
    for ax in axes[-1]:
        ax.set_xlabel("step")
    before, picture = places(figure), svg(figure)
    with stacking.stacked(figure):
        bottoms = [bottom for _, bottom, _, _ in places(figure)]
        assert bottoms == sorted(bottoms, reverse=True)
        for row, panels in enumerate(axes):
            assert [ax.get_title("left") for ax in panels] == [
                f"title {column}" for column in range(layout[1])
            ]
            assert [ax.get_ylabel() for ax in panels] == [f"row {row}"] * layout[1]
        assert {ax.get_xlabel() for ax in axes.flat} == {"step"}
        for ax in axes.flat:
            assert any(t.get_visible() and t.get_text() for t in ax.get_xticklabels())
    assert places(figure) == before
    assert svg(figure) == picture


def test_panels_of_one_column_keep_to_the_last_one_for_their_axis(subplots):
    figure, axes = subplots(3, 1, sharex=True)
    axes[2].set_xlabel("step")
    with stacking.stacked(figure):
        assert [ax.get_xlabel() for ax in axes] == ["", "", "step"]


@pytest.mark.parametrize("layout", [(1, 7), (2, 4)])
def test_too_many_panels_are_not_stacked(subplots, layout):
    figure, _ = subplots(*layout)
    assert not stacking.in_a_grid(figure)
    with pytest.raises(ValueError, match="do not fill a grid"), stacking.stacked(figure):
        pass
    assert stacking.with_stacked(lambda f: f, figure) is figure


@pytest.mark.parametrize("layout", [(1, 1), (3, 1)])
@pytest.mark.parametrize(("letters", "redrawn"), [(12.5, False), (10, True)])
def test_one_column_is_redrawn_where_its_letters_are_small(subplots, layout, letters, redrawn):
    figure, axes = subplots(*layout, squeeze=False)
    axes[0, 0].text(0.5, 0.5, "label", fontsize=letters)
    drawn = stacking.with_stacked(svg, figure)
    assert isinstance(drawn, tuple) == redrawn
    if redrawn:
        assert f'width="{72 * stacking.WIDTH:g}pt"' in drawn[1]["stacked"]


def test_a_raised_exponent_is_small_type(subplots):
    figure, (above, below) = subplots(2, 1)
    below.set_title("$10$ to 20")
    figure.draw_without_rendering()
    assert not stacking.small_type(figure)
    above.set_title("$10^{-3}$")
    assert stacking.small_type(figure)


def test_hidden_letters_and_none_are_not_small(subplots):
    figure, ax = subplots()
    ax.text(0, 0, "label", fontsize=5).set_visible(False)
    ax.text(0, 0, "", fontsize=5)
    assert not stacking.small_type(figure)
    assert not stacking.small_type(Figure())


@pytest.mark.parametrize(
    ("size", "layout", "height"),
    [((6.6, 6), (1, 1), 4), ((6.6, 3), (1, 3), 9), ((3.3, 3), (1, 1), 3)],
)
def test_a_panel_of_fixed_form_shrinks_with_its_width_alone(subplots, size, layout, height):
    figure, axes = subplots(*layout, figsize=size, squeeze=False)
    for ax in axes.flat:
        ax.set_aspect("equal")
    with stacking.stacked(figure):
        assert figure.get_figheight() == pytest.approx(height)


def test_an_empty_place_in_the_grid_is_no_grid(subplots):
    figure, axes = subplots(2, 2)
    assert stacking.in_a_grid(figure)
    axes[1, 1].remove()
    assert not stacking.in_a_grid(figure)


def test_a_panel_over_two_columns_or_none_is_not_stacked(subplots):
    figure, _ = subplots(1, 2)
    figure.add_axes((0, 0, 1, 1))
    assert not stacking.in_a_grid(figure)
    other = Figure()
    grid = other.add_gridspec(1, 3)
    other.add_subplot(grid[0, :2])
    other.add_subplot(grid[0, 2])
    assert not stacking.in_a_grid(other)
    assert not stacking.in_a_grid(Figure())


def test_a_figure_can_be_kept_side_by_side(subplots):
    figure, _ = subplots(1, 2)
    assert stacking.side_by_side(figure) is figure
    assert not stacking.in_a_grid(figure)


def test_both_are_drawn_the_wide_one_first(subplots):
    figure, _ = subplots(1, 2)
    wide, beside = stacking.with_stacked(lambda f: f.get_size_inches().tolist(), figure)
    assert wide == [6.4, 3.1]
    assert beside["stacked"][0] == stacking.WIDTH
    assert stacking.with_stacked(lambda _: None, figure) is None
