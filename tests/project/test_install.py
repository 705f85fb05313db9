"""How the environment is made: torch without CUDA, the rest by uv, or by pip where uv fails."""

from __future__ import annotations

import runpy
import shutil
import socket
import subprocess
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from small_project import ROOT, clean_environment

# A Python that makes an environment of itself and a uv, and writes down what it is asked to do.
PYTHON = """\
#!/bin/sh
echo "python $*" >> "{log}"
case "$*" in
  "-m venv "*)
    mkdir -p "$3/bin" && cp "$0" "$3/bin/python"
    printf '#!/bin/sh\\necho "uv $*" >> "{log}"\\nexit {uv}\\n' > "$3/bin/uv"
    chmod +x "$3/bin/uv" ;;
  *torch_index.py) echo "--no-deps --extra-index-url=INDEX" ;;
  *" uv=="*) exit {install_uv} ;;
esac
"""
SCRIPT: dict[str, Any] = runpy.run_path(str(ROOT / "binder" / "torch_index.py"))


@pytest.fixture
def install(tmp_path: Path) -> Callable[..., list[str]]:
    """`make book` with nothing real behind it: what it has installed, and by what."""

    def run(*, uv: int = 0, install_uv: int = 0) -> list[str]:
        for name in ("Makefile", "requirements.txt", "pyproject.toml"):
            shutil.copy2(ROOT / name, tmp_path)
        log, python = tmp_path / "log", tmp_path / "python"
        python.write_text(PYTHON.format(log=log, uv=uv, install_uv=install_uv))
        python.chmod(0o755)
        command = ["make", "book", f"PYTHON={python}", "VENV=.venv"]
        subprocess.run(command, cwd=tmp_path, env=clean_environment(), check=True)
        return [line for line in log.read_text().splitlines() if " install " in line]

    return run


def test_torch_comes_first_by_pip_and_the_rest_by_uv(install: Callable[..., list[str]]) -> None:
    torch, uv, rest, package = install()
    assert torch.startswith("python -m pip ")
    assert "--no-deps --extra-index-url=INDEX torch==" in torch
    assert uv.startswith("python -m pip ")
    assert " uv==" in uv
    assert rest.startswith("uv pip install")
    assert rest.endswith("--requirement requirements.txt")
    assert package.startswith("python -m pip ")
    assert package.endswith("--editable .")


@pytest.mark.parametrize("failing", ["uv", "install_uv"])
def test_pip_alone_does_it_where_uv_fails_or_is_not_to_be_had(
    install: Callable[..., list[str]], failing: str
) -> None:
    *_, rest, _package = install(**{failing: 2})
    assert rest.startswith("python -m pip ")
    assert rest.endswith("install -qq --requirement requirements.txt")


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/torch/" else 403)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_an_index_that_answers_is_asked_and_one_that_forbids_is_not() -> None:
    with HTTPServer(("127.0.0.1", 0), Page) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        assert SCRIPT["answers"](f"{address}/torch/", 60)
        assert not SCRIPT["answers"](f"{address}/elsewhere/", 60)
        server.shutdown()
    assert not SCRIPT["answers"](f"{address}/torch/", 60), "nobody listens there any more"


def test_an_index_that_says_nothing_is_waited_for_no_longer_than_that() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/torch/"
        assert not SCRIPT["answers"](address, 0.2)
    assert SCRIPT["PATIENCE"] <= 10
