"""A forked kernel does what one started afresh does, and no kernel feels another."""

from __future__ import annotations

import os
import sys
import textwrap
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from book_build import warm
from book_build.environment import KERNEL_ENVIRONMENT
from book_build.execution import Page
from nbclient.exceptions import CellExecutionError, DeadKernelError
from small_project import ROOT

LATEST = 300  # seconds of patience with a busy machine

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")


def run(folder: Path, *cells: str) -> list[str]:
    """What each cell printed, or the kinds of what it showed."""
    sources = [nbformat.v4.new_code_cell(textwrap.dedent(cell)) for cell in cells]
    notebook = nbformat.v4.new_notebook(cells=sources)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    page = Page("page", folder / "page.md", notebook, None)
    page.run(timeout=600)
    assert page.memory > 50e6
    return [
        " ".join(out["text"] if "text" in out else str(sorted(out["data"])) for out in cell.outputs)
        for cell in notebook.cells
    ]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a build runs in."""
    for name, value in KERNEL_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(params=["forked", "afresh"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "afresh":
        monkeypatch.setattr(warm, "use_warm_kernel", lambda client: None)
    return request.param


def test_the_place_and_the_paths_are_the_page_s_own(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("SEEN", "by the page")
    (tmp_path / "beside.py").write_text("word = 'found'")
    printed = run(
        tmp_path,
        "import os, sys; print(os.getcwd(), os.environ['SEEN'], __name__)",
        "import beside, mlpinit; print(beside.word, mlpinit.__file__)",
        "print([p for p in sys.path if p.endswith('web/ext')])",
        "print(sys.argv[0].rpartition('/')[2], sys.argv[1])",
    )
    assert printed == [
        f"{tmp_path} by the page __main__\n",
        f"found {ROOT / 'mlpinit' / '__init__.py'}\n",
        "[]\n",
        "ipykernel_launcher.py -f\n",
    ]


def test_figures_and_processes_work(way: str, tmp_path: Path) -> None:
    printed = run(
        tmp_path,
        "from mlpinit import chapter; chapter.setup()",
        "import matplotlib.pyplot as plt; plt.plot([1, 2]);",
        "import os; print(os.popen('echo from a shell').read().strip())",
        """
        from concurrent.futures import ProcessPoolExecutor
        with ProcessPoolExecutor(1) as pool:
            print(list(pool.map(abs, [-1])))
        """,
    )
    assert printed[1] == "['image/svg+xml', 'text/plain']"
    assert printed[2:] == ["from a shell\n", "[1]\n"]


def test_no_page_feels_another(tmp_path: Path) -> None:
    cell = """
        import os, sys, torch
        print(os.environ.get("LEFT"), torch.get_default_dtype(), "left" in sys.modules, os.getcwd())
        os.environ["LEFT"] = "behind"
        torch.set_default_dtype(torch.float64)
        sys.modules["left"] = sys
        os.chdir("/")
    """
    assert run(tmp_path, cell) == run(tmp_path, cell) == [f"None torch.float32 False {tmp_path}\n"]


def test_a_cell_that_fails_says_so(way: str, tmp_path: Path) -> None:
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        run(tmp_path, "1 / 0")


def test_a_kernel_that_dies_is_noticed(way: str, tmp_path: Path) -> None:
    with pytest.raises(DeadKernelError):
        run(tmp_path, "import os; os._exit(3)")


@pytest.mark.parametrize("failures", [1, 2])
def test_a_kernel_that_does_not_start_gets_one_more_chance(
    failures: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where another process has taken its port since it was chosen."""
    forked, started = warm.Forked, []

    def taken(arguments: list[str], env: dict[str, str], cwd: str) -> warm.Forked:
        started.append(arguments)
        fails = ["--no-such-option=1", "--help"] if len(started) <= failures else arguments
        return forked(fails, env, cwd)

    monkeypatch.setattr(warm, "Forked", taken)
    if failures == 1:
        assert run(tmp_path, "print(6 * 7)") == ["42\n"]
    else:
        with pytest.raises(RuntimeError, match="Kernel died"):
            run(tmp_path, "print(6 * 7)")
    assert len(started) == 2


def test_no_kernel_is_left_behind(tmp_path: Path) -> None:
    (printed,) = run(tmp_path, "import os; print(os.getpid())")
    deadline = time.monotonic() + LATEST
    while psutil.pid_exists(int(printed)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(int(printed))
    assert int(printed) != os.getpid()


def test_kernels_end_with_the_build(tmp_path: Path) -> None:
    """Killed, a build takes its kernels with it, whatever they are at."""
    cell = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(3600)"
    script = f"""
        import sys
        from pathlib import Path
        sys.path[:] = {[str(Path(__file__).parent), *sys.path]!r}
        import test_warm
        test_warm.run(Path({str(tmp_path)!r}), {cell!r})
    """
    build = psutil.Popen([sys.executable, "-c", textwrap.dedent(script)])
    kept = tmp_path / "pid"
    deadline = time.monotonic() + LATEST
    while not (kept.exists() and kept.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    build.kill()
    build.wait()
    kernel = int(kept.read_text())
    while psutil.pid_exists(kernel) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(kernel)
