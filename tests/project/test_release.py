"""What is released: the sdist and the wheel, their version, the changelog, the paper."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import packing
import pytest
import yaml
from packing import ROOT

import mlpinit

VERSION = mlpinit.__version__


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return packing.build(tmp_path_factory.mktemp("dist"))


def ours() -> set[str]:
    return {path.as_posix() for path in packing.sources() if path.parts[0] == "mlpinit"}


def test_both_have_every_file_of_the_package_and_no_other(built: tuple[Path, Path]) -> None:
    sdist, wheel = built
    in_wheel = {name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith("/")}
    assert {n for n in in_wheel if ".dist-info/" not in n} == ours()
    with tarfile.open(sdist) as archive:
        members = {m.name.partition("/")[2] for m in archive if m.isfile()}
    assert {name for name in members if name.startswith("mlpinit/")} == ours()
    assert {"README.md", "LICENSE", "LICENSE-text", "pyproject.toml"} <= members
    assert {"mlpinit/integrations/lightning.py", "mlpinit/models/ranks.py"} <= in_wheel
    assert {"mlpinit/data/surnames.txt", "mlpinit/lab/core.js"} <= in_wheel


def test_the_version_is_the_same_wherever_it_is_said(built: tuple[Path, Path]) -> None:
    assert [path.name for path in built] == [
        f"mlpinit-{VERSION}.tar.gz",
        f"mlpinit-{VERSION}-py3-none-any.whl",
    ]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == VERSION
    newest = re.findall(
        r"^## \[(\S+)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M
    )[0]
    assert newest == (VERSION, str(citation["date-released"]))


def test_the_readme_s_program_runs_from_the_wheel_alone(
    built: tuple[Path, Path], tmp_path: Path
) -> None:
    """What the wheel needs is lent by this environment, whose own mlpinit is not."""
    venv.create(tmp_path / "env", with_pip=False, symlinks=os.name != "nt")
    scripts = "Scripts" if os.name == "nt" else "bin"
    python = tmp_path / "env" / scripts / Path(sys.executable).name
    with zipfile.ZipFile(built[1]) as wheel:
        wheel.extractall(tmp_path / "site")
    lent = [str(tmp_path / "site"), sysconfig.get_path("purelib")]
    told = "import mlpinit; print(mlpinit.__file__)\n"
    short = packing.program().replace("20_000", "200")
    done = subprocess.run(
        [python, "-c", told + short],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(lent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    where, loss, dead = done.stdout.splitlines()
    assert Path(where).is_relative_to(tmp_path)
    assert 2 < float(re.search(r"\d+\.\d+", loss)[0]) < 3.3
    assert dead.endswith(" dead units")


def test_the_changelog_keeps_a_changelog() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)
    assert versions[-1] == "0.1.0"
    assert versions == sorted(versions, reverse=True)
    headings = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert headings <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    for version in versions:
        assert f"\n[{version}]: " in text


def test_the_paper_has_its_parts_in_the_length_the_journal_asks_for() -> None:
    _, head, body = (ROOT / "paper.md").read_text(encoding="utf-8").split("---\n", 2)
    told = yaml.safe_load(head)
    assert {"title", "tags", "authors", "affiliations", "date", "bibliography"} <= set(told)
    assert 750 <= len(body.split()) <= 1500
    headings = re.findall(r"^# (.+)$", body, re.MULTILINE)
    assert {"Summary", "Statement of need", "References"} <= set(headings)
    cited = set(re.findall(r"(?<![\w.])@(\w+)", body))
    there = set(re.findall(r"^@\w+\{(\w+),", (ROOT / told["bibliography"]).read_text(), re.M))
    assert cited == there
