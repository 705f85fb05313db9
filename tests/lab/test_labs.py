"""The labs in Python: what a notebook and a page get."""

from __future__ import annotations

import json
import subprocess
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from node_runner import NODE

from mlpinit import init, lab
from mlpinit.lab import by_torch, recording, training

CONTROLS = """
for (const name of %s) require(`%s/${name}.js`);
const { InitLab, DerivativeLab, GraphLab, StreamLab, RowsLab, RouterLab, Microscope, Playground } =
  globalThis.mlpinitLab;
const kinds = {
  "mlp-init-lab": InitLab, "mlp-derivative-lab": DerivativeLab, "mlp-graph-lab": GraphLab,
  "mlp-stream-lab": StreamLab, "mlp-rows-lab": RowsLab, "mlp-router-lab": RouterLab,
  "mlp-playground": Playground,
};
const parts = ({ pictures, facts }) =>
  ({ pictures: [...new Set(pictures.map(({ name, part }) => part ?? name))], facts });
const number = ({ limits, min, max, step, at }) =>
  ({ ends: limits ?? [min, max], whole: !at && Number.isInteger(step) });
const told = ({ type, options, ...rest }) =>
  options?.map(([key]) => key).sort() ?? (type === "checkbox" ? [false, true] : number(rest));
const of = ({ controls }) => Object.fromEntries(controls.map((one) => [one.name, told(one)]));
const all = (kinds, of) => Object.fromEntries(Object.entries(kinds).map(([k, v]) => [k, of(v)]));
const found = [all(kinds, of), all({ ...kinds, "mlp-microscope": Microscope }, parts)];
console.log(JSON.stringify(found));
"""


@pytest.fixture(scope="module")
def run() -> recording.Recording:
    return recording.record(init.QUIET_OUTPUT, steps=20, frames=5, progress=False)


def test_python_knows_the_settings_that_the_labs_have():
    folder = Path(lab.__file__).parent.as_posix()
    script = CONTROLS % (json.dumps([*lab.SCRIPTS, "playground"]), folder)
    printed = subprocess.run([NODE, "-e", script], capture_output=True, text=True, check=True)
    ours = {
        tag: {name: told(allowed) for name, allowed in of_lab.items()}
        for tag, of_lab in lab.SETTINGS.items()
    }
    settings, parts = json.loads(printed.stdout)
    assert settings == ours
    assert parts == {
        tag: {"pictures": list(pictures), "facts": list(lab.FACTS.get(tag, ()))}
        for tag, pictures in lab.PICTURES.items()
    }
    for tag in (*lab.TAGS, lab.PLAYGROUND):
        names = [*lab.SETTINGS.get(tag, ()), *lab.PICTURES[tag], *lab.FACTS.get(tag, ())]
        assert len(names) == len(set(names)), "a name says what it shows"


def told(allowed):
    if isinstance(allowed, tuple | range):
        return {"ends": [allowed[0], allowed[-1]], "whole": isinstance(allowed, range)}
    return sorted(allowed)


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (lab.init, {"depht": 2}, "no setting 'depht'; it has scale, kind"),
        (lab.init, {"depth": 11}, "depth is 11; it is to be a whole number from 1 to 10"),
        (lab.init, {"depth": "3"}, "depth is '3'; it is to be a whole number"),
        (lab.init, {"depth": 2.5}, "depth is 2.5; it is to be a whole number"),
        (lab.init, {"layer": True}, "layer is True; it is to be a whole number"),
        (lab.init, {"norm": 1}, "norm is 1; it is to be one of False, True"),
        (lab.init, {"norm": np.True_}, "norm is .*True.*; it is to be one of False, True"),
        (lab.init, {"activation": ["tanh"]}, r"activation is \['tanh'\]; it is to be one of 'elu'"),
        (lab.init, {"scale": [1]}, r"scale is \[1\]; it is to be a number from 0.01 to 3"),
        (lab.init, {"activation": "Tanh"}, "activation is 'Tanh'; it is to be one of 'elu'"),
        (lab.init, {"scale": True}, "scale is True; it is to be a number"),
        (lab.derivative, {"z": float("nan")}, "z is nan; it is to be a number from -400 to 400"),
        (lab.graph, {"step": 9}, "step is 9"),
        (lab.init, {"show": "spread"}, "no 'spread' to show; its controls are scale, .*; its pict"),
        (lab.init, {"show": ["map", "deaf"]}, "'deaf' .*parts of the sentence are schemes, sat"),
        (lab.init, {"show": ()}, "show names nothing; leave it out to show everything, or choose"),
        (lab.playground, {"rate": 31}, "rate is 31; it is to be a number from 0.001 to 30"),
        (lab.playground, {"steps": 200}, "steps is 200; it is to be one of '200', '2000'"),
        (lab.derivative, {"show": "curves"}, "its pictures are curve, slopes$"),
        (lab.graph, {"show": "loss"}, "no 'loss' to show; .*; its pictures are graph$"),
    ],
)
def test_settings_that_a_lab_does_not_have_are_refused(make, settings, message):
    with pytest.raises(ValueError, match=message):
        make(**settings)


def test_numpy_s_numbers_are_numbers():
    given = lab.init(scale=np.float32(0.5), depth=np.int64(3)).element()
    assert 'scale="0.5"' in given
    assert 'depth="3"' in given


def test_the_microscope_refuses_runs_and_steps_that_are_not_there(run):
    with pytest.raises(ValueError, match="pass at least one run"):
        lab.microscope({})
    with pytest.raises(ValueError, match="right is 'b'; choose one of a"):
        lab.microscope({"a": run}, right="b")
    with pytest.raises(ValueError, match="no step 21 of 1 runs; the longest run has 20 steps"):
        lab.microscope({"a": run}, step=21)


def test_what_is_shown_is_told_to_the_lab(run):
    assert 'show="scale map dead"' in lab.init(show=("scale", "map", "dead")).element()
    assert 'show="dead"' in lab.init(show="dead").element()
    assert "show=" not in lab.init().element()
    assert 'show="step map"' in lab.microscope({"a": run}, show=["step", "map"]).element()
    with pytest.raises(ValueError, match="no 'scale' to show; its controls are step, left, right"):
        lab.microscope({"a": run}, show="scale")


def test_a_notebook_gets_all_and_a_page_the_element_alone(monkeypatch, run):
    monkeypatch.delenv(lab.LOADED_ELSEWHERE, raising=False)
    shown = lab.microscope({"a": run, "b": run})
    whole = shown._repr_html_()
    assert lab.script() in whole
    assert lab.style() in whole
    assert whole.count("<script data-recording=") == 2
    monkeypatch.setenv(lab.LOADED_ELSEWHERE, "1")
    page = shown._repr_html_()
    assert page == shown.element()
    assert page in whole
    assert "a browser with JavaScript" in page


def test_text_in_a_label_stays_text(run):
    page = lab.microscope({'"<b>': run}).element()
    assert "<b>" not in page
    assert "\\u003cb>" in page


def test_two_labs_of_a_notebook_have_ids_of_their_own():
    assert lab.init().id != lab.init().id


def test_every_script_is_installed_with_the_package():
    files = {file.name for file in resources.files(lab).iterdir()}
    assert {f"{name}.js" for name in lab.SCRIPTS} | {"lab.css", "playground.css"} <= files
    ours = {*lab.SCRIPTS, *training.ENGINE, *training.FACE, "words"}
    assert {name for name in files if name.endswith(".js")} == {f"{name}.js" for name in ours}


def test_all_labs_together_are_light():
    import gzip

    both = (lab.script() + lab.style()).encode()
    assert 10_000 < len(gzip.compress(both, 6)) <= 30_000


def test_a_page_loads_the_scripts_without_their_comment_lines():
    path = resources.files(lab).joinpath("core.js")
    kept = lab.source("core.js").splitlines()
    own = path.read_text(encoding="utf-8").splitlines()
    assert next(line for line in own if line not in kept).startswith("//")
    assert not [line for line in kept if line.strip().startswith("//")]
    assert [line for line in own if not line.strip().startswith("//")] == kept


def test_figures_by_torch_are_those_of_the_package():
    figures = by_torch.at(depth=3, width=50, kind="gain", scale=1.5, bias=0.1)
    assert figures.params.arch.hidden == (50, 50, 50)
    expected = init.kaiming(gain=1.5, b=0.1).factors(figures.params.arch)
    assert [f for f, _ in expected][:2] == pytest.approx([1.5 / 30**0.5, 1.5 / 50**0.5])
    assert figures.params.W[1].std().item() == pytest.approx(1.5 / 50**0.5, rel=0.05)
    assert len(figures.z_std) == len(figures.h_std) == len(figures.gradient) == 3
