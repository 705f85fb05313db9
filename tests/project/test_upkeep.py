"""What keeps the book alive, as far as it can be tried here: workflows, the bot, publishing."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_project import ROOT, clean_environment

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
WRITTEN = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "book").rglob("*.md"))]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read(path: Path) -> dict[Any, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def jobs() -> list[Any]:
    return [
        pytest.param(job, id=f"{path.stem}-{name}")
        for path in WORKFLOWS
        for name, job in read(path)["jobs"].items()
    ]


def scripts(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))


def make_calls(shell: str) -> set[str]:
    """The targets in a shell's calls of make: `make pdf JOBS=1 links` has two."""
    calls = re.findall(r"(?:^|[;&|] *)make((?: +[\w-]+(?:=\S*)?)+)", shell, re.MULTILINE)
    return {word for call in calls for word in call.split() if "=" not in word}


def shell(markdown: str) -> str:
    """What a reader may run: the blocks for a shell, and code in the text."""
    blocks = re.findall(r"^```bash\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL)
    text = re.sub(r"^(`{3,}).*?^\1", "", markdown, flags=re.MULTILINE | re.DOTALL)
    return "\n".join([*blocks, *re.findall(r"`([^`\n]+)`", text)])


@pytest.mark.parametrize(
    ("schema", "paths"),
    [
        ("vendor.github-workflows", WORKFLOWS),
        ("vendor.dependabot", [GITHUB / "dependabot.yml"]),
    ],
)
def test_configuration_fits_its_schema(schema: str, paths: list[Path]) -> None:
    assert paths
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema]
    done = subprocess.run([*check, *paths], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_workflows_are_safe_as_far_as_zizmor_sees() -> None:
    zizmor = shutil.which("zizmor", path=str(Path(sys.executable).parent))
    audit = [zizmor, "--offline", "--no-progress", "--min-severity=medium", str(GITHUB)]
    done = subprocess.run(audit, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("job", jobs())
def test_job_ends_in_time_has_few_rights_and_scripts_that_parse(job: dict[str, Any]) -> None:
    assert job["timeout-minutes"] <= 60
    assert set(job["permissions"].values()) <= {"read"} or len(job["permissions"]) == 1
    for script in scripts(job):
        plain = re.sub(r"\$\{\{.*?\}\}", "x", script)
        done = subprocess.run(
            ["bash", "-n"], input=plain, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_grants_nothing_by_itself_and_runs_alone(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {}
    assert workflow["concurrency"]["group"]


def test_jobs_run_targets_of_the_makefile() -> None:
    called = {word for job in jobs() for run in scripts(job.values[0]) for word in make_calls(run)}
    assert called <= targets()
    assert {"book", "test", "survey", "test-package", "site", "publish", "links", "lock"} <= called


@pytest.mark.parametrize("path", [ROOT / ".ci" / "run", *WORKFLOWS], ids=lambda path: path.stem)
def test_the_survey_is_run_wherever_the_tests_are(path: Path) -> None:
    if path.suffix == ".yml":
        texts = ["\n".join(scripts(job)) for job in read(path)["jobs"].values()]
    else:
        texts = [path.read_text(encoding="utf-8")]
    for text in texts:
        lines = text.splitlines()
        assert ("make test" in lines) == ("make survey" in lines)


def test_what_the_tests_leave_to_the_survey_is_what_the_survey_selects() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.findall(r"pytest (?:--cov )?-m (\"[\w ]+\"|\w+)", makefile) == [
        '"not survey and not mutants"',
        "survey",
        "mutants",
    ]


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.stem)
def test_targets_that_are_written_of_exist(path: Path) -> None:
    called = make_calls(shell(path.read_text(encoding="utf-8")))
    assert called <= targets()
    assert called or path.name not in ("README.md", "CONTRIBUTING.md")


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_files_that_are_written_of_exist(name: str) -> None:
    folders = "|".join(
        ("book", "mlpinit", "tests", "benchmarks", "gradescope", "binder", ".github")
    )
    words = re.findall(
        rf"(?<![\w/.])(?:{folders})/[\w./-]*", shell((ROOT / name).read_text(encoding="utf-8"))
    )
    paths = [word for word in words if not re.search(r"[A-Z]{4}|partN", word)]
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_versions_tried_are_those_the_package_claims() -> None:
    tried = read(GITHUB / "workflows" / "test.yml")["jobs"]
    oldest, *_ = tried["package"]["strategy"]["matrix"]["python"]
    assert PROJECT["requires-python"] == f">={oldest}"
    (torch,) = (line for line in PROJECT["dependencies"] if line.startswith("torch"))
    versions = [row["torch"] for row in tried["torch"]["strategy"]["matrix"]["include"]]
    assert versions == [torch.replace(">=", "==") + ".*", "torch"]


def test_the_bot_holds_what_pyproject_holds() -> None:
    (pip,) = (
        u for u in read(GITHUB / "dependabot.yml")["updates"] if u["package-ecosystem"] == "pip"
    )
    held = {rule["dependency-name"]: rule.get("versions") for rule in pip["ignore"]}
    assert held["jupyter-book"] == [">=2"]
    assert any(line.startswith("jupyter-book") and "<2" in line for line in extra("book"))
    assert held["torch"] is None


def extra(name: str) -> list[str]:
    return PROJECT["optional-dependencies"][name]


# Publishing


def git(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(["git", *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone, in a folder with a space, with a site, and the repository it is published to."""
    git("init", "--quiet", "--bare", "-b", "main", "remote.git", cwd=tmp_path)
    git("clone", "--quiet", "remote.git", "my clone", cwd=tmp_path)
    clone = tmp_path / "my clone"
    shutil.copy2(ROOT / "Makefile", clone)
    git("config", "user.name", "A", cwd=clone)
    git("config", "user.email", "a@example.org", cwd=clone)
    git("add", "--all", cwd=clone)
    git("commit", "--quiet", "--message", "First", cwd=clone)
    site = clone / "_build" / "site"
    (site / "notebooks").mkdir(parents=True)
    (site / "index.html").write_text("one")
    (site / "notebooks" / "a.ipynb").write_text("{}")
    return clone


TARGETS = re.findall(
    r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
)


@pytest.mark.parametrize("target", TARGETS)
def test_a_folder_s_name_may_have_a_space(clone: Path, target: str) -> None:
    told = subprocess.run(
        ["make", "-n", target],
        cwd=clone,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    unquoted = re.sub(rf"[\"']{re.escape(str(clone))}", "", told)
    assert str(clone) not in unquoted


def publish(clone: Path) -> subprocess.CompletedProcess[str]:
    who = {
        f"GIT_{role}_{key}": "a" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")
    }
    return subprocess.run(
        ["make", "publish"],
        cwd=clone,
        env=clean_environment() | who,
        capture_output=True,
        text=True,
        check=False,
    )


def test_publishing_pushes_the_site_as_one_commit_and_again(clone: Path) -> None:
    remote = clone.parent / "remote.git"
    for text in ("one", "two"):
        (clone / "_build" / "site" / "index.html").write_text(text)
        done = publish(clone)
        assert done.returncode == 0, done.stdout + done.stderr
        files = git("ls-tree", "-r", "--name-only", "gh-pages", cwd=remote).split()
        assert files == [".nojekyll", "index.html", "notebooks/a.ipynb"]
        assert git("show", "gh-pages:index.html", cwd=remote) == text
        assert git("rev-list", "--count", "gh-pages", cwd=remote).strip() == "1"
    assert git("rev-parse", "HEAD", cwd=clone).strip() in git("log", "gh-pages", cwd=remote)


def test_publishing_nothing_is_refused(clone: Path) -> None:
    shutil.rmtree(clone / "_build")
    done = publish(clone)
    assert done.returncode != 0
    assert "make site" in done.stdout
    assert git("branch", "--list", "gh-pages", cwd=clone.parent / "remote.git") == ""
