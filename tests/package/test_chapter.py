import ast
from types import SimpleNamespace

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from mlpinit import chapter, plots

pytest.importorskip("IPython")


@pytest.fixture
def shown(monkeypatch):
    calls = []
    monkeypatch.setattr("IPython.display.display", lambda data, **kw: calls.append((data, kw)))
    return calls


def test_glue_formats_and_speaks_the_format_that_myst_nb_reads(shown):
    assert chapter.glue("loss", 2.16789, ".3f") == "2.168"
    ((data, kwargs),) = shown
    prefix = "application/papermill.record/"
    assert ast.literal_eval(data[prefix + "text/plain"]) == "2.168"
    assert kwargs == {
        "raw": True,
        "metadata": {"scrapbook": {"name": "loss", "mime_prefix": prefix}},
    }


def test_glue_stores_text_as_it_is(shown):
    assert chapter.glue("word", "smith") == "smith"


def test_setup_sets_the_style_and_svg(monkeypatch):
    magics, known = [], {Figure: lambda figure: figure.get_size_inches().tolist()}

    class Formatter:
        def for_type(self, kind, draw=None):
            return known[kind] if draw is None else known.update({kind: draw})

    class Shell:
        display_formatter = SimpleNamespace(formatters={"image/svg+xml": Formatter()})

        def run_line_magic(self, *args):
            magics.append(args)

    monkeypatch.setattr("IPython.get_ipython", Shell)
    with mpl.rc_context():
        chapter.setup()
        assert mpl.rcParams["text.color"] == plots.INK
    formats = ("config", "InlineBackend.figure_formats = ['svg']")
    assert magics == [("matplotlib", "inline"), formats]
    figure = Figure(figsize=(6, 3))
    figure.subplots(1, 2)
    wide, beside = known[Figure](figure)
    assert wide == [6, 3]
    assert beside["stacked"][1] > 3


def test_setup_outside_a_notebook_sets_the_style_alone(monkeypatch):
    monkeypatch.setattr("IPython.get_ipython", lambda: None)
    with mpl.rc_context():
        chapter.setup()
        assert mpl.rcParams["savefig.facecolor"] == "none"
