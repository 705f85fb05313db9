"""The labs' numbers in JavaScript against torch."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import re

import modern_values
import network_values
import node_runner
import pytest
import small_values
import trainer_values

from mlpinit import lab
from mlpinit.lab import batch, training, words


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    return network_values.write(tmp_path_factory.mktemp("lab"))


@pytest.mark.parametrize("script", ["network.test.js", "init.test.js"])
def test_the_network_is_that_of_torch(values, script):
    node_runner.check(script, LAB_VALUES=str(values))


@pytest.mark.parametrize("script", ["derivative.test.js", "graph.test.js"])
def test_floats_and_gradients_are_those_of_torch(tmp_path, script):
    node_runner.check(script, LAB_VALUES=str(small_values.write(tmp_path)))


def test_modern_networks_are_those_of_torch(tmp_path):
    node_runner.check("modern.test.js", LAB_VALUES=str(modern_values.write(tmp_path)))


def test_the_batch_is_that_of_the_chapters():
    assert batch.SCRIPT.read_text(encoding="utf-8") == batch.script()


def test_training_in_the_page_is_that_of_torch(tmp_path):
    node_runner.check("trainer.test.js", TRAINER_VALUES=str(trainer_values.write(tmp_path)))


def test_the_words_are_those_of_the_corpus():
    assert words.SCRIPT.read_text(encoding="utf-8") == words.script()
    assert len(words.SCRIPT.read_bytes()) < 150_000


def test_what_the_playground_copies_is_the_run_it_made(tmp_path):
    file = tmp_path / "presets.json"
    node_runner.check("playground.test.js", PRESETS=str(file))
    for preset in json.loads(file.read_text()):
        said, names = io.StringIO(), {}
        with contextlib.redirect_stdout(said):
            exec(preset["code"], names)
        if preset["losses"]:
            losses = names["run"].losses.tolist()
            assert losses == pytest.approx(preset["losses"], abs=1e-4), preset
        printed = re.search(r"\d+\.\d+", said.getvalue())[0]
        # Where few steps are compared, even one may multiply rounding.
        tolerance = 0.01 if 0 < len(preset["losses"]) <= 3 else 2e-4
        assert float(printed) == pytest.approx(preset["dev"], abs=tolerance)


def test_the_playground_is_one_file_and_light():
    page = training.page("https://example.org/")
    assert not re.search(r'\b(?:src|href)="(?!https://example\.org/")', page)
    packed = [len(gzip.compress(text.encode())) for text in (lab.script(), training.script())]
    assert sum(packed) < 60_000
