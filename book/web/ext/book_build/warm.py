"""Kernels that start at once: forked from one process that has imported what every page imports.

Starting a kernel, importing torch and matplotlib in it, and tearing them down takes over three
seconds of a core, and the book has some two dozen pages. What is imported beforehand are packages
alone, never `mlpinit`. Only on Linux: what a fork of macOS's own libraries does is not to be relied
on, and Windows has none. Elsewhere kernels start as ever.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from jupyter_client.provisioning import LocalProvisioner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbclient import NotebookClient

__all__ = ["use_warm_kernel"]

IMPORTED = ["ipykernel.kernelapp", "matplotlib.backends.backend_svg", "matplotlib.pyplot", "torch"]


def use_warm_kernel(client: NotebookClient) -> None:
    """Let the notebook run in a forked kernel, where there can be one."""
    if sys.platform != "linux":
        return
    manager = client.create_kernel_manager()
    manager.provisioner = Warm(parent=manager, kernel_spec=manager.kernel_spec)


class Warm(LocalProvisioner):
    """Forks a kernel where its parent class would start Python with the arguments `cmd`."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> dict[str, Any]:
        """Start it; returns how to connect."""
        *_, launcher = (n for n, part in enumerate(cmd) if part == "ipykernel_launcher")
        self.process = Forked(cmd[launcher + 1 :], kwargs["env"], kwargs["cwd"])
        self.pid = self.process.pid
        self.cwd = kwargs["cwd"]
        return self.connection_info


class Forked:
    """What a provisioner needs of a `subprocess.Popen`, for a process forked by the server."""

    stdin = stdout = stderr = None

    def __init__(self, arguments: list[str], env: Mapping[str, str], cwd: str) -> None:
        """Fork a kernel. The first one starts the server, which then imports the packages."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(IMPORTED)
        self.process = context.Process(target=kernel, args=(arguments, dict(env), cwd))
        self.process.start()
        self.pid = self.process.pid

    def poll(self) -> int | None:
        """Its exit code, or None while it runs."""
        return self.process.exitcode

    def wait(self) -> int | None:
        """Its exit code, once it has one."""
        self.process.join()
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()

    def terminate(self) -> None:
        """Ask it to end."""
        self.process.terminate()


def kernel(arguments: list[str], env: Mapping[str, str], cwd: str) -> None:
    """Be a kernel, in a process of its own, as `python -m ipykernel_launcher` would be."""
    from ipykernel.kernelapp import IPKernelApp  # noqa: PLC0415 (imported in the server, not here)

    os.setsid()  # what a terminal sends to the build is not meant for its kernels
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv = ["ipykernel_launcher.py", *arguments]
    builders = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    path = [*env.get("PYTHONPATH", "").split(os.pathsep), *sys.path]
    sys.path[:] = [p for p in path if p and os.path.abspath(p) != builders]
    threading.Thread(target=end_with_the_build, daemon=True).start()
    IPKernelApp.launch_instance([*arguments, f"--IPKernelApp.parent_handle={os.getppid()}"])


def end_with_the_build() -> None:
    """Wait until the build has ended, however it did, and end."""
    multiprocessing.parent_process().join()
    os._exit(1)
