"""Print what pip is to be told so that torch comes without CUDA, where that is to be had.

On Linux, PyPI's torch brings gigabytes of CUDA. PyTorch's own index has a build without it; pip
asks it for torch alone, hence `--no-deps`. Asked here first, for a few seconds at most, because pip
would wait for it several times over, and warn.
"""

from __future__ import annotations

import ssl
import sys
import threading
import urllib.request

INDEX = "https://download.pytorch.org/whl/cpu"
PATIENCE = 8.0  # seconds, for everything: a name that is not found, a server that says nothing


def answers(address: str, seconds: float) -> bool:
    """Whether a server gives a page there, in that time."""
    found = threading.Event()

    def ask() -> None:
        # Whom to trust is pip's to check, with its own settings; nothing is taken from this answer.
        unchecked = ssl._create_unverified_context()
        try:
            with urllib.request.urlopen(address, timeout=seconds, context=unchecked):
                found.set()
        except OSError:
            pass
        finally:
            done.set()

    done = threading.Event()
    threading.Thread(target=ask, daemon=True).start()
    done.wait(seconds)
    return found.is_set()


if __name__ == "__main__" and sys.platform == "linux":
    index = [f"--extra-index-url={INDEX}"] if answers(f"{INDEX}/torch/", PATIENCE) else []
    print("--no-deps", *index)
