"""The labs' numbers in JavaScript against torch."""

from __future__ import annotations

import network_values
import node_runner
import pytest
import small_values
import trainer_values

from mlpinit.lab import batch, words


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    return network_values.write(tmp_path_factory.mktemp("lab"))


@pytest.mark.parametrize("script", ["network.test.js", "init.test.js"])
def test_the_network_is_that_of_torch(values, script):
    node_runner.check(script, LAB_VALUES=str(values))


@pytest.mark.parametrize("script", ["derivative.test.js", "graph.test.js"])
def test_floats_and_gradients_are_those_of_torch(tmp_path, script):
    node_runner.check(script, LAB_VALUES=str(small_values.write(tmp_path)))


def test_the_batch_is_that_of_the_chapters():
    assert batch.SCRIPT.read_text(encoding="utf-8") == batch.script()


def test_training_in_the_page_is_that_of_torch(tmp_path):
    node_runner.check("trainer.test.js", TRAINER_VALUES=str(trainer_values.write(tmp_path)))


def test_the_words_are_those_of_the_corpus():
    assert words.SCRIPT.read_text(encoding="utf-8") == words.script()
    assert len(words.SCRIPT.read_bytes()) < 150_000
