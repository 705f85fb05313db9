"""A Jupyter server and a notebook in a browser, used as a reader uses them."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from small_project import ROOT, clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

TOKEN = "reader"
OPTIONS = (
    "--no-browser",
    "--allow-root",
    "--ip=127.0.0.1",
    "--port=0",
    f"--IdentityProvider.token={TOKEN}",
    "--LabApp.expose_app_in_browser=True",  # for the tests to read what a notebook holds
)
MINUTE = 60_000  # in milliseconds
CELLS = "[...window.jupyterapp.shell.currentWidget.content.model.cells].map(cell => cell.toJSON())"
# Done when all is run, or when a cell failed and the kernel has dropped the rest.
DONE = f"""() => {{
    const panel = window.jupyterapp.shell.currentWidget;
    const code = {CELLS}.filter(cell => cell.cell_type === "code" && cell.source.length);
    const failed = code.some(cell => cell.outputs.some(o => o.output_type === "error"));
    const idle = panel.sessionContext.session?.kernel?.status === "idle";
    return idle && (failed || code.every(cell => cell.execution_count !== null));
}}"""


def copy_tracked(folder: Path) -> None:
    """Copy what a clone of the project would have."""
    names = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
    for name in filter(None, names.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)


def reader_environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of a reader with an empty home and no settings of their own."""
    ours = ("JUPYTER", "IPYTHON", "PYTHON", "XDG_", "VIRTUAL_ENV", "TQDM_", "MPL")
    kept = {k: v for k, v in clean_environment().items() if not k.startswith(ours)}
    return {**kept, "HOME": str(home), **more}


@dataclass
class Server:
    """A running server."""

    url: str
    process: psutil.Process

    def memory(self) -> int:
        """Bytes that the server and its kernels use, shared pages counted once."""
        total = 0
        for process in [self.process, *self.process.children(recursive=True)]:
            try:
                info = process.memory_full_info()
            except psutil.Error:  # it has just ended
                continue
            total += getattr(info, "pss", info.uss)
        return total


@contextmanager
def serve(command: list[str], log: Path, **options: Any) -> Iterator[Server]:
    """Run `command` with `OPTIONS` and wait until it answers."""
    with log.open("w") as out:
        process = psutil.Popen(command, stdout=out, stderr=subprocess.STDOUT, **options)
    try:
        yield Server(address(process, log), process)
    finally:
        family = [*process.children(recursive=True), process]
        for member in family:
            if member.is_running():
                member.terminate()
        for member in psutil.wait_procs(family, timeout=60)[1]:
            member.kill()


def address(process: psutil.Popen, log: Path) -> str:
    """The address that the server prints, without its last part."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        found = re.search(r"(http://127\.0\.0\.1:\d+/\S*?)lab\?token=", log.read_text())
        if found:
            return found[1]
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise AssertionError(f"the server did not start:\n{log.read_text()}")


@dataclass
class Notebook:
    """A chapter that JupyterLab shows as a notebook."""

    page: Page

    def wait(self) -> Notebook:
        """Wait until the notebook is there, with a kernel ready."""
        self.page.wait_for_selector(".jp-NotebookPanel", timeout=5 * MINUTE)
        self.page.wait_for_function(
            "() => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status"
            " === 'idle'",
            timeout=5 * MINUTE,
        )
        return self

    def run_all(self) -> None:
        """Choose "Run All Cells" from the menu."""
        self.page.click(".lm-MenuBar-item >> text=Run")
        self.page.click(".lm-Menu-item >> text=/^Run All Cells$/")

    def wait_for_figure(self) -> None:
        self.page.wait_for_function(
            f"() => {CELLS}.some(cell => cell.outputs?.some(o => o.data?.['image/svg+xml']))",
            timeout=5 * MINUTE,
        )

    def wait_until_done(self) -> None:
        self.page.wait_for_function(DONE, timeout=10 * MINUTE)

    def save(self) -> None:
        """Press Ctrl+S and wait until it is done."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")

    def cells(self) -> list[dict[str, Any]]:
        return self.page.evaluate(f"() => {CELLS}")

    def outputs(self) -> list[dict[str, Any]]:
        return [output for cell in self.cells() for output in cell.get("outputs", [])]

    def errors(self) -> list[str]:
        return ["\n".join(o["traceback"]) for o in self.outputs() if o["output_type"] == "error"]

    def figures(self) -> list[str]:
        drawn = (output.get("data", {}).get("image/svg+xml") for output in self.outputs())
        return ["".join(svg) for svg in drawn if svg]

    def article(self) -> str:
        """The text as it is shown, of Markdown cells (not of their editors) and of captions."""
        shown = self.page.locator(".jp-MarkdownCell .myst, .book-caption")
        return "\n".join(shown.all_inner_texts())
