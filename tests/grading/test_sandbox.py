"""What a child gives up: each door that it has no business with, tried and found closed."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from textwrap import dedent, indent
from unittest import mock

import pytest

import mlpinit
from mlpinit.grading import landlock, sandbox, syscalls, wire
from mlpinit.grading.client import Runner
from mlpinit.grading.job import Job
from mlpinit.grading.sandbox import Box, Limits

linux = pytest.mark.skipif(sys.platform != "linux", reason="seccomp and Landlock are Linux's")
root = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root can mount and lend rights"
)


@pytest.fixture
def said(runner):
    """What a submission says of itself: a function of its code and what that must need."""

    def ask(code: str, *needs: str, by: Runner = runner) -> str:
        body = indent(dedent(code), "    ")
        source = f"import ctypes, os, sys\n\ndef f(x):\n{body}\n"
        ending = by.run(Job(source, "f.py", "f", [wire.encode([1])], Limits(seconds=4), by.user))
        for name in needs:
            if name not in ending.held:
                pytest.skip(f"this system lacks {sandbox.missing([name])}")
        assert ending.lines, ending
        return ending.lines[0]

    return ask


CALL = """\
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *args):
    "The error of a system call, 0 if there is none."
    ctypes.set_errno(0)
    return ctypes.get_errno() if libc.syscall(number, *args) == -1 else 0
"""


@linux
def test_every_other_system_call_is_refused(said):
    # No filter is asked about uprobe and uretprobe, which serve none but the kernel's own traps.
    allowed = {335, 336} | syscalls.allowed(platform.machine())
    code = f"""\
        others = [n for n in range(600) if n not in {allowed}]
        return str([n for n in others if call(n, 0, 0, 0, 0, 0, 0) not in (1, 38)])
        """
    assert '\\"[]\\"' in said(CALL + dedent(code), "processes")


# By their names, from the kernel's headers, and not from the table that they test.
DOORS = {
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "kcmp": (312, 272),
    "execve": (59, 221),
    "execveat": (322, 281),
    "setsid": (112, 157),
    "setpgid": (109, 154),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "setrlimit": (160, 164),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274),
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "memfd_create": (319, 279),
    "inotify_init1": (294, 26),
    "fanotify_init": (300, 262),
    "mount": (165, 40),
    "unshare": (272, 97),
    "setns": (308, 268),
    "chroot": (161, 51),
    "setuid": (105, 146),
    "capset": (126, 91),
    "seccomp": (317, 277),
    "truncate": (76, 45),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchownat": (260, 54),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "linkat": (265, 37),
    "symlinkat": (266, 36),
    "flock": (73, 32),
    "mlock": (149, 228),
    "timer_create": (222, 107),
    "splice": (275, 76),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
}


@pytest.mark.parametrize(("place", "machine"), [(0, "x86_64"), (1, "aarch64")])
def test_no_door_that_is_known_is_in_the_table(place, machine):
    open_ones = syscalls.allowed(machine)
    assert not [name for name, numbers in DOORS.items() if numbers[place] in open_ones]


@pytest.mark.parametrize("machine", syscalls.MACHINES)
def test_the_filter_is_whole_instructions_that_refuse_in_the_end(machine):
    code = syscalls.program(machine, 77)
    assert len(code) % 8 == 0
    assert len(code) // 8 < 4096
    assert code[-8:] == b"\x06\0\0\0\x01\0\x05\0"


TGKILL, PRLIMIT = (234, 302) if platform.machine() == "x86_64" else (131, 261)

# What is refused by its arguments, and what is another's; `other` is the runner's number.
OTHERS = {
    "limits of the runner": "resource.prlimit(other, resource.RLIMIT_NOFILE, (9, 9))",
    "limits of the grader": f"resource.prlimit({os.getpid()}, resource.RLIMIT_NOFILE, (9, 9))",
    "limits of its own": "resource.prlimit(0, resource.RLIMIT_NOFILE, (9, 9))",
    "limits asked of the runner": "resource.prlimit(other, resource.RLIMIT_NOFILE)",
    "priority of the runner": "os.setpriority(os.PRIO_PROCESS, other, 19)",
    "priority of its own": "os.nice(1)",
    "affinity of the runner": "os.sched_setaffinity(other, {0})",
    "affinity of its own": "os.sched_setaffinity(0, {0})",
    "scheduler of the runner": "os.sched_setscheduler(other, os.SCHED_BATCH, os.sched_param(0))",
    "scheduler of its own": "os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))",
    "a signal to the runner": "os.kill(other, 9)",
    "a signal to the grader": f"os.kill({os.getpid()}, 9)",
    "a signal to everybody": "os.kill(-1, 9)",
    # Of a process that there is not: Landlock, where it knows of signals, refuses those to others.
    "a signal to a thread": (
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        f"if libc.syscall({TGKILL}, 2**30, 2**30, 0): raise OSError(ctypes.get_errno(), 'tgkill')"
    ),
    "a signal by way of a pipe": "fcntl.fcntl(os.pipe()[0], fcntl.F_SETOWN, other)",
    "a lease": "fcntl.fcntl(os.open(__file__, 0), fcntl.F_SETLEASE, fcntl.F_RDLCK)",
    "a lock": "fcntl.flock(os.open(__file__, 0), fcntl.LOCK_EX)",
    "a terminal's letters": "fcntl.ioctl(0, 0x5412, b'x')",
    "the mode of a file": "os.chmod(__file__, 0o644)",
    "the mode of an open file": "os.fchmod(os.open(__file__, 0), 0o644)",
    "the times of a file": "os.utime(__file__)",
    "an emptied file": "os.open(__file__, os.O_RDONLY | os.O_TRUNC)",
    "shared memory": "open('/dev/shm/left', 'w')",
    "shared memory by its module": "multiprocessing.shared_memory.SharedMemory('left', True, 9)",
    "a process": "os.fork()",
    "a program": "os.execv('/bin/true', ['true'])",
    "a session": "os.setsid()",
    "a socket": "socket.create_connection(('127.0.0.1', 9))",
    "a local socket": "socket.socketpair()",
    "a link": "os.link(__file__, 'other')",
}


@linux
@pytest.mark.parametrize("what", OTHERS)
def test_what_is_another_s_is_out_of_reach(said, runner, what):
    def settings():
        pid = runner._process.pid
        return (
            os.sched_getaffinity(pid),
            os.getpriority(os.PRIO_PROCESS, pid),
            os.sched_getscheduler(pid),
            Path(f"/proc/{pid}/limits").read_text(),
        )

    imports = "import fcntl, multiprocessing.shared_memory, resource, socket\n"
    code = f"{imports}other = os.getppid()\n{OTHERS[what]}\nreturn 'done'"
    said("return 1", "processes", "files")
    before = settings()
    answer = said(code)
    # setrlimit(2) speaks of EPERM in words of its own.
    assert "PermissionError" in answer or "not allowed to raise" in answer, answer
    assert settings() == before
    assert '\\"plain\\":1' in said("return x")


@linux
@pytest.mark.parametrize("where", [0x10_0000_0000, 0x1000_0000], ids=["low half 0", "high half 0"])
def test_new_limits_are_refused_wherever_they_lie_in_memory(said, where):
    code = f"""\
        import resource
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
        limits = libc.mmap({where}, 4096, 3, 0x22, -1, 0)
        assert limits == {where}
        ctypes.memmove(limits, (ctypes.c_uint64 * 2)(9, 9), 16)
        error = call({PRLIMIT}, 0, resource.RLIMIT_NOFILE, ctypes.c_void_p(limits), None)
        return str([error, *resource.getrlimit(resource.RLIMIT_NOFILE)])
        """
    assert '\\"[1, 64, 64]\\"' in said(CALL + dedent(code), "processes")


@linux
def test_what_is_not_named_cannot_be_read(said, tmp_path):
    (tmp_path / "secret").write_text("of somebody else")
    for folder in ("/", "/etc", "/var", "/proc", "/dev", "/tmp", Path.home(), tmp_path):
        answer = said(f"return os.listdir({str(folder)!r})", "files")
        assert "PermissionError" in answer, folder
    for file in (tmp_path / "secret", "/etc/hosts", "/proc/1/cmdline", "/proc/self/maps"):
        if Path(file).exists():
            assert "PermissionError" in said(f"return open({str(file)!r}).read()", "files"), file


@linux
def test_what_can_be_read_cannot_be_written(said):
    package, torch = (Path(sys.modules[n].__file__).resolve().parent for n in ("mlpinit", "torch"))
    said("return 1", "files")
    for file in (package / "mlp.py", torch / "__init__.py"):
        assert "value" in said(f"return len(open({str(file)!r}).read())"), file
        assert "PermissionError" in said(f"open({str(file)!r}, 'r+')"), file
    new = torch / "left_by_a_submission"
    try:
        assert "PermissionError" in said(f"open({str(new)!r}, 'w')")
        assert not new.exists()
    finally:
        new.unlink(missing_ok=True)


@linux
@pytest.mark.skipif(platform.machine() != "x86_64", reason="x86_64 alone has a second numbering")
def test_the_other_numbering_ends_the_process(runner):
    source = "import ctypes\n\ndef f(x):\n    ctypes.CDLL(None).syscall(0x40000000 + 39)\n"
    ending = runner.run(Job(source, "f.py", "f", [wire.encode([1])], Limits()))
    if "processes" not in ending.held:
        pytest.skip("this system has no seccomp")
    assert (ending.how, ending.code) == ("signal", 31)


@linux
def test_what_python_needs_works(said):
    code = """\
        import tempfile, threading, concurrent.futures, pathlib, shutil, time, subprocess
        with tempfile.TemporaryDirectory() as d, tempfile.NamedTemporaryFile() as file:
            pathlib.Path(d, "a").mkdir(); pathlib.Path(d, "b").write_text("b")
            pathlib.Path(d, "b").rename(pathlib.Path(d, "a", "c"))
            shutil.copyfile(pathlib.Path(d, "a", "c"), "copy")
            assert os.listdir(d) == ["a"] and os.stat("copy").st_size == 1
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            assert list(pool.map(abs, [-1, 2])) == [1, 2]
        import torch, numpy as np
        torch.save(torch.ones(2), "t.pt"); assert torch.load("t.pt").sum() == 2
        np.savez("a.npz", a=np.ones(2)); assert np.load("a.npz")["a"].sum() == 2
        torch.set_num_threads(2); torch.ones(500, 500) @ torch.ones(500, 500)
        time.sleep(0.01); pathlib.Path("touched").touch(); os.cpu_count(); os.urandom(3)
        os.path.expanduser("~"); assert os.path.samefile(os.environ["HOME"], ".")
        import resource; resource.getrlimit(resource.RLIMIT_CPU)
        import locale, zoneinfo, getpass, platform; platform.platform(); time.localtime()
        return "fine"
        """
    answer = said(code)
    assert "fine" in answer, answer


@root
def test_threads_work_without_root_s_rights(said):
    with Runner(user="nobody") as other:
        code = "import threading\nt = threading.Thread(target=print)\nt.start()\nreturn os.getuid()"
        assert '\\"plain\\":65534' in said(code, "processes", by=other)


@linux
def test_nothing_of_the_instructor_s_environment_arrives(said, monkeypatch, tmp_path):
    monkeypatch.setenv("GITHUB_TOKEN", "the-secret-of-the-instructor")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "the-secret-folder"))
    monkeypatch.chdir(tmp_path)
    with Runner() as fresh:
        own = Path(f"/proc/{fresh._process.pid}")
        begun_with = (own / "environ").read_bytes() + (own / "cmdline").read_bytes()
        assert b"secret" not in begun_with
        assert os.readlink(own / "cwd") == "/"
        answer = said("return ' '.join([*os.environ, *os.environ.values()])", by=fresh)
        assert "secret" not in answer
        assert "PYTHONPATH" not in answer
        assert "MPLBACKEND" in answer
        for file in ("/proc/self/environ", f"/proc/{fresh._process.pid}/environ"):
            assert "PermissionError" in said(f"return open({file!r}).read()", "files", by=fresh)


@linux
def test_what_one_leaves_the_next_does_not_find(said):
    said("os.mkdir('locked', 0)\nopen('left', 'w').close()\nos.umask(0o777)\nreturn 1")
    assert '\\"list\\":[]' in said("return [n for n in os.listdir('.') if n != 'f.py']")
    assert '\\"list\\":[]' in said(
        "return [n for n in os.listdir('..') if n != 'scratch']", "files"
    )


@pytest.fixture
def deep_folder(tmp_path):
    """One that is gone afterwards, whatever is in it: pytest itself cannot remove deep ones."""
    yield tmp_path
    subprocess.run(["rm", "-rf", tmp_path], check=False)


def test_what_cannot_be_removed_is_said_to_be_left(deep_folder, monkeypatch):
    (deep_folder / "folder").mkdir()
    (deep_folder / "folder" / "file").touch()
    monkeypatch.setattr(os, "unlink", mock.Mock(side_effect=PermissionError))
    assert not sandbox.remove(deep_folder / "folder")


def test_what_is_removed_is_whole_and_nothing_else(deep_folder):
    kept, gone = deep_folder / "kept", deep_folder / "gone"
    (kept / "inner").mkdir(parents=True)
    (kept / "file").touch()
    (gone / "locked" / "inner").mkdir(parents=True)
    (gone / "0").mkdir()
    (gone / "link").symlink_to(kept)
    (gone / "locked" / "inner" / "file").touch()
    (gone / "locked").chmod(0)
    here = gone
    for _ in range(300):
        here = here / "deeper"
    here.mkdir(parents=True)
    assert sandbox.remove(gone)
    assert sandbox.remove(deep_folder / "nowhere")
    assert sorted(p.name for p in deep_folder.iterdir()) == ["kept"]
    assert sorted(p.name for p in kept.iterdir()) == ["file", "inner"]


@linux
def test_folders_a_thousand_deep_cost_nobody_anything(said, deep_folder, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(deep_folder))
    deep = "for _ in range(3000):\n    os.mkdir('d'); os.chdir('d')\nreturn 1"
    with Runner() as fresh:
        assert '\\"plain\\":1' in said(deep, by=fresh)
        pid = fresh._process.pid
        assert '\\"list\\":[]' in said(
            "return [n for n in os.listdir('.') if n != 'f.py']", by=fresh
        )
        assert fresh._process.pid == pid, "the runner itself survived"
    assert list(deep_folder.iterdir()) == [], "nothing is left of them"


def test_a_scratch_folder_serves_again_but_only_empty_and_as_it_was_made():
    with contextlib.closing(Box(confining=False)) as box:

        def found(change):
            with box.scratch() as folder:
                state = (folder.stat().st_ino, folder.stat().st_mode, os.listdir(folder))
                (folder / "file").touch()
                change(folder)
            return state

        first = found(lambda folder: None)
        assert first == found(lambda folder: folder.chmod(0o777))
        assert first[1:] == found(lambda folder: (folder / "another").mkdir())[1:]
        assert first[1:] == found(lambda folder: folder.joinpath("file").unlink())[1:]


def test_a_scratch_folder_that_cannot_be_removed_is_given_up(monkeypatch):
    box = Box(confining=False)
    monkeypatch.setattr(sandbox, "remove", lambda folder: False)
    with box.scratch() as first:
        (first / "left").mkdir()
    with box.scratch() as second:
        assert second != first
        assert list(second.iterdir()) == []
    monkeypatch.undo()
    for folder in (first.parent, second.parent):
        shutil.rmtree(folder)


def test_what_is_missing_is_said_in_words():
    assert sandbox.missing(["limits", "files", "processes", "network"]) == []
    (only,) = sandbox.missing(["limits", "processes", "network"])
    assert only.startswith("closed files: a submission can read the graders")
    assert len(sandbox.missing([])) == 4


def test_the_graders_are_not_readable_and_the_rest_of_the_package_is():
    package = Path(mlpinit.__file__).resolve().parent
    paths = landlock.readable()
    assert package / "mlp.py" in paths
    for secret in (package / "grading" / "judge.py", package / "grading", package.parent / "book"):
        assert not any(secret.is_relative_to(path) for path in paths)


def test_secrets_are_gone_around_and_links_are_not_followed(tmp_path):
    hidden = tmp_path / "site" / "mlpinit" / "grading"
    hidden.mkdir(parents=True)
    (tmp_path / "site" / "other").mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "site" / "way").symlink_to(hidden)
    around = sorted(p.name for p in landlock._around(tmp_path, [hidden]))
    assert around == ["bin", "other"]
    assert list(landlock._around(tmp_path / "bin", [hidden])) == [tmp_path / "bin"]


def test_every_copy_of_the_graders_is_hidden(tmp_path, monkeypatch):
    other = tmp_path / "lib" / "python3.99" / "site-packages"
    (other / "mlpinit" / "grading").mkdir(parents=True)
    (other / "mlpinit-0.1-py3.99.egg").touch()
    monkeypatch.setattr(landlock, "_SYSTEM", (str(tmp_path / "lib"),))
    hidden = set(landlock.hidden())
    assert {other / "mlpinit" / "grading", other / "mlpinit-0.1-py3.99.egg"} <= hidden
    assert Path(landlock.__file__).parent in hidden


# Run in a mount namespace of its own: Python and the package under /usr/local, as in the official
# images. The package is a copy, everything else is bound to where it is in truth.
INSTALLED = """\
import os, pathlib, shutil, subprocess, sys
base, packages, package = map(pathlib.Path, sys.argv[1:4])
run = lambda *command: subprocess.run(command, check=True)
version = f"python{sys.version_info.major}.{sys.version_info.minor}"
run("mount", "--bind", base, "/usr/local")
site = pathlib.Path("/usr/local/lib", version, "site-packages")
run("mount", "-t", "tmpfs", "none", site)
for entry in packages.iterdir():
    if "mlpinit" not in entry.name:
        place = site / entry.name
        place.mkdir() if entry.is_dir() else place.touch()
        run("mount", "--bind", entry, place)
shutil.copytree(package, site / "mlpinit")
python = f"/usr/local/bin/{version}"
os.execv(python, [python, "-I", "-c", sys.argv[4]])
"""

ATTACK = """\
import sys
import mlpinit
assert mlpinit.__file__.startswith("/usr/local/lib"), mlpinit.__file__
from mlpinit.grading.client import Runner
from mlpinit.grading.exercise import find
from mlpinit.grading.grade import grade_source
right = '''
import statistics, sqlite3, mlpinit.mlp, torch
def tanh_slope(x): return 1 - torch.tanh(x) ** 2
'''
attack = '''
import sys
for name in [m for m in sys.modules if m.startswith("mlpinit")]:
    del sys.modules[name]
def tanh_slope(x):
    from mlpinit.grading.exercise import find
    return find("6.1").oracle(x)
'''
spy = f"def tanh_slope(x): return open({find.__code__.co_filename!r}).read()"
with Runner() as runner:
    for text in (right, attack, spy):
        verdict = grade_source(runner, find("6.1"), text)
        print(verdict.status, verdict.problem, "files" in verdict.held)
"""


@root
def test_the_graders_cannot_be_read_where_python_lies_under_usr(tmp_path):
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare to make a mount namespace with")
    packages = next(p for p in map(Path, sys.path) if (p / "torch").is_dir())
    arguments = [sys.base_prefix, packages, Path(mlpinit.__file__).parent, ATTACK]
    script = tmp_path / "installed.py"
    script.write_text(INSTALLED)
    python = Path(
        sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}"
    )
    command = ["unshare", "--mount", python, script, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    right, attack, spy = done.stdout.splitlines()
    if right.endswith("False"):
        pytest.skip("this system has no Landlock")
    assert right == "passed  True"
    assert attack.startswith("failed your code raised"), attack
    assert "PermissionError" in spy
