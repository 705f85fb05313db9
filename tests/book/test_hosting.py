"""The repository's and the pages' addresses, from the hosting, the configuration or the clone."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from book_build import hosting, launch
from bs4 import BeautifulSoup
from small_project import Project, copy_project, unhosted

GITHUB = {
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "Someone/starts",
    "GITHUB_REF_NAME": "main",
}
READ_THE_DOCS = {
    "READTHEDOCS_GIT_CLONE_URL": "https://github.com/someone/starts.git",
    "READTHEDOCS_GIT_IDENTIFIER": "v1",
    "READTHEDOCS_CANONICAL_URL": "https://starts.readthedocs.io/en/latest/",
}
GITLAB = {
    "CI_PROJECT_URL": "https://git.example.org/group/inner/starts",
    "CI_COMMIT_REF_NAME": "main",
    "CI_PAGES_URL": "https://group.pages.example.org/starts",
}
NEED_AN_ADDRESS = ("launch-", "source-repository", "source-edit", "source-issues")


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment in which no hosting says anything, until the test does."""
    import os

    for name in set(os.environ) - set(unhosted(dict(os.environ))):
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.mark.parametrize(
    ("variables", "url", "name", "branch", "kind"),
    [
        (GITHUB, "https://github.com/Someone/starts", "Someone/starts", "main", "github"),
        (
            {**GITHUB, "GITHUB_REF_NAME": "7/merge", "GITHUB_BASE_REF": "next"},
            "https://github.com/Someone/starts",
            "Someone/starts",
            "next",
            "github",
        ),
        (READ_THE_DOCS, "https://github.com/someone/starts", "someone/starts", "v1", "github"),
        (GITLAB, GITLAB["CI_PROJECT_URL"], "group/inner/starts", "main", "gitlab"),
    ],
)
def test_hosting_comes_before_the_configuration(
    said: pytest.MonkeyPatch, variables: dict[str, str], url: str, name: str, branch: str, kind: str
) -> None:
    for variable, value in variables.items():
        said.setenv(variable, value)
    assert hosting.repository("https://github.com/other/one") == (url, name, branch, kind)


def test_configuration_comes_before_the_clone(said: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clone(tmp_path, "https://github.com/someone/clone.git")
    found = hosting.repository("https://gitlab.com/other/one", "next", tmp_path)
    assert found == ("https://gitlab.com/other/one", "other/one", "next", "gitlab")


@pytest.mark.parametrize(
    ("remote", "url"),
    [
        ("https://github.com/someone/starts.git", "https://github.com/someone/starts"),
        ("https://token@github.com/someone/starts", "https://github.com/someone/starts"),
        ("git@github.com:someone/starts.git", "https://github.com/someone/starts"),
        ("ssh://git@gitlab.com/group/in/starts.git", "https://gitlab.com/group/in/starts"),
        ("/srv/git/starts.git", None),
        ("file:///srv/git/starts", None),
        ("../starts", None),
        ("https://git.example.org/someone/starts", None),  # may be open to its owner alone
        (None, None),
    ],
)
def test_a_clone_counts_if_it_came_from_a_public_host(
    said: pytest.MonkeyPatch, tmp_path: Path, remote: str | None, url: str | None
) -> None:
    clone(tmp_path, remote)
    found = hosting.repository("", "", tmp_path)
    assert (found and found.url) == url
    assert found is None or found.branch == "work"


def test_without_git_nothing_is_known(said: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert hosting.repository("", "", tmp_path) is None
    assert hosting.site() is None


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        (GITHUB, "https://someone.github.io/starts/"),
        (
            {**GITHUB, "GITHUB_REPOSITORY": "Someone/someone.github.io"},
            "https://someone.github.io/",
        ),
        ({**GITHUB, "GITHUB_SERVER_URL": "https://git.example.org"}, None),
        (READ_THE_DOCS, "https://starts.readthedocs.io/en/latest/"),
        (GITLAB, "https://group.pages.example.org/starts/"),
        ({**GITHUB, "BOOK_URL": "https://starts.example.org"}, "https://starts.example.org/"),
    ],
)
def test_site(said: pytest.MonkeyPatch, variables: dict[str, str], url: str | None) -> None:
    for variable, value in variables.items():
        said.setenv(variable, value)
    assert hosting.site() == url
    assert hosting.site("https://configured.example.org") == (
        url or "https://configured.example.org/"
    )


def test_launch_addresses() -> None:
    github = hosting.Repository("https://github.com/a/b", "a/b", "x/y", "github")
    assert launch.binder(github, "book/part1/corpus") == (
        "https://mybinder.org/v2/gh/a/b/x%2Fy?urlpath=lab/tree/book/part1/corpus.md"
    )
    assert launch.colab(github, "book/part1/corpus") == (
        "https://colab.research.google.com/github/a/b/blob/gh-pages/notebooks/part1/corpus.ipynb"
    )
    gitlab = hosting.Repository("https://gitlab.com/a/b/c", "a/b/c", "main", "gitlab")
    assert "/v2/gl/a%2Fb%2Fc/main?" in launch.binder(gitlab, "book/index")
    assert launch.colab(gitlab, "book/index") is None
    own = hosting.Repository("https://git.example.org/a/b", "a/b", "main", "gitlab")
    assert "/v2/git/https%3A%2F%2Fgit.example.org%2Fa%2Fb/main?" in launch.binder(own, "book/index")


@pytest.fixture(scope="module")
def hosted(built: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The small project, built a second time where GitHub builds it."""
    project = copy_project(built, tmp_path_factory.mktemp("hosted"))
    result = project.make(**GITHUB)
    assert result.returncode == 0, result.stdout
    return project


def test_without_an_address_no_button_needs_one(built: Project) -> None:
    for page in ("chapter", "prose", "index"):
        shown = str(header(built, page))
        assert [mark for mark in NEED_AN_ADDRESS if mark in shown] == []
        assert 'rel="canonical"' not in built.page(page)


def test_with_an_address_they_are_drawn_without_running_anything(
    built: Project, hosted: Project
) -> None:
    shown = header(hosted, "chapter")
    assert [mark for mark in NEED_AN_ADDRESS if mark not in str(shown)] == []
    links = {a.get_text(strip=True): a["href"] for a in shown.select("a")}
    repository = hosting.Repository(
        "https://github.com/Someone/starts", "Someone/starts", "main", ""
    )
    assert links["Binder"] == launch.binder(repository, "book/chapter")
    assert links["Colab"] == launch.colab(repository, "book/chapter")
    assert links["Repository"] == repository.url
    assert links["Suggest edit"] == f"{repository.url}/edit/main/book/chapter.md"
    page = BeautifulSoup(hosted.page("chapter"), "html.parser")
    canonical = page.select_one("link[rel=canonical]")["href"]
    assert canonical == "https://someone.github.io/starts/book/chapter.html"
    assert hosted.runs() == built.runs()


def test_the_box_leads_wherever_the_page_can_be_run(built: Project, hosted: Project) -> None:
    repository = hosting.Repository(
        "https://github.com/Someone/starts", "Someone/starts", "main", "github"
    )
    assert launch.commands(repository, "book/chapter") == [
        "git clone https://github.com/Someone/starts && cd starts",
        "make lab PAGE=book/chapter.md",
    ]
    here = "../notebooks/chapter.ipynb"
    for project, known in ((built, None), (hosted, repository)):
        box = BeautifulSoup(project.page("chapter"), "html.parser").select_one(".run-page")
        assert box.pre.get_text().splitlines() == launch.commands(known, "book/chapter")
        away = known and [f(known, "book/chapter") for f in (launch.binder, launch.colab)]
        assert [a["href"] for a in box.select("a")] == [*(away or ()), here]


def test_a_page_without_cells_has_nothing_to_run(hosted: Project) -> None:
    assert "launch-" not in str(header(hosted, "prose"))
    assert "run-page" not in hosted.page("prose")
    assert "source-repository" in str(header(hosted, "prose"))


def test_the_notebook_that_colab_opens_installs_the_package_first(
    built: Project, hosted: Project
) -> None:
    first = notebook(hosted)["cells"][0]
    assert first["cell_type"] == "code"
    source = "".join(first["source"])
    assert "ModuleNotFoundError" in source
    assert "mlpinit @ git+https://github.com/Someone/starts@main" in source
    assert "pip install" not in json.dumps(notebook(built))


def test_references_lead_to_the_published_page(built: Project, hosted: Project) -> None:
    text = json.dumps(notebook(hosted))
    assert "https://someone.github.io/starts/book/chapter.html" in text
    assert "http" not in json.dumps(notebook(built)["cells"][-1])


def header(project: Project, page: str) -> BeautifulSoup:
    return BeautifulSoup(project.page(page), "html.parser").select_one(".article-header-buttons")


def notebook(project: Project) -> dict:
    return json.loads((project.html / "notebooks" / "chapter.ipynb").read_text(encoding="utf-8"))


def clone(folder: Path, remote: str | None) -> None:
    subprocess.run(["git", "init", "-q", "-b", "work", str(folder)], check=True)
    if remote is not None:
        subprocess.run(["git", "remote", "add", "origin", remote], cwd=folder, check=True)
