"""Where the book's repository and its pages are: said by the hosting, else by `_config.yml`.

Whatever needs an address, a button or a link, asks here, and is left out when none is known.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config

__all__ = ["Repository", "choose", "of", "repository", "site", "site_of"]

HOSTS = {"github.com": "github", "gitlab.com": "gitlab"}
# https://host/owner/name.git, ssh://git@host/owner/name.git or git@host:owner/name.git
REMOTE = re.compile(r"(?:https?://|ssh://)?(?:[^@/]+@)?([\w.-]+)(?::\d+)?[:/](.+?)(?:\.git)?/?")


class Repository(NamedTuple):
    """A public repository: its address, owner and name, the branch to open, the kind of host."""

    url: str
    name: str
    branch: str
    kind: str

    @property
    def host(self) -> str:
        """The name of the host: github.com."""
        return urlsplit(self.url).netloc


def repository(
    configured: str = "", branch: str = "", root: Path | None = None
) -> Repository | None:
    """Return the repository that the book is built from, or None.

    First what the hosting says (GitHub, Read the Docs, GitLab), then what is configured, then where
    this clone came from, if that is a public host and not a folder.
    """
    said = os.environ.get
    if (server := said("GITHUB_SERVER_URL")) and (name := said("GITHUB_REPOSITORY")):
        # A pull request's own ref cannot be cloned by its name; the branch it is for can.
        ref = said("GITHUB_BASE_REF") or said("GITHUB_REF_NAME") or branch
        return Repository(f"{server}/{name}", name, ref or "main", "github")
    if url := said("READTHEDOCS_GIT_CLONE_URL"):
        return parsed(url, said("READTHEDOCS_GIT_IDENTIFIER") or branch)
    if url := said("CI_PROJECT_URL"):
        return parsed(url, said("CI_COMMIT_REF_NAME") or branch, "gitlab")
    if configured:
        return parsed(configured, branch)
    found = parsed(git(root, "remote", "get-url", "origin"), git(root, "branch", "--show-current"))
    return found if found and found.host in HOSTS else None


def parsed(url: str, branch: str, kind: str = "") -> Repository | None:
    """Read the address of a clone as that of a web page; None for a folder."""
    match = REMOTE.fullmatch(url)
    if match is None or "." not in match[1] or "/" not in match[2]:
        return None
    host, name = match[1], match[2].strip("/")
    kind = kind or HOSTS.get(host) or ("gitlab" if "gitlab" in host else "github")
    return Repository(f"https://{host}/{name}", name, branch or "main", kind)


def git(root: Path | None, *arguments: str) -> str:
    """Ask git about the clone in `root`; an empty string where there is none, or no git."""
    if root is None or not (root / ".git").exists():
        return ""
    try:
        asked = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return asked.stdout.strip()


def site(configured: str = "") -> str | None:
    """Return the address, with a slash at its end, at which the pages are published, or None."""
    url = os.environ.get("BOOK_URL") or os.environ.get("READTHEDOCS_CANONICAL_URL")
    url = url or os.environ.get("CI_PAGES_URL") or github_pages() or configured
    return url.rstrip("/") + "/" if url else None


def github_pages() -> str | None:
    """Return where GitHub publishes the pages of the repository that it builds."""
    if os.environ.get("GITHUB_SERVER_URL") != "https://github.com":
        return None
    owner, _, name = os.environ.get("GITHUB_REPOSITORY", "").partition("/")
    host = f"{owner.lower()}.github.io"
    return f"https://{host}" + ("" if name.lower() == host else f"/{name}") if name else None


# For the parts of the build


def choose(app: Sphinx, config: Config) -> None:
    """Settle both addresses, once, and tell the theme and the other extensions that want them."""
    options = config.html_theme_options
    found = repository(
        options.get("repository_url", ""), options.get("repository_branch", ""), Path(app.srcdir)
    )
    config.book_repository = tuple(found) if found else None
    config.html_baseurl = site(config.html_baseurl) or ""
    if "ogp_site_url" in config:
        config.ogp_site_url = config.html_baseurl
    if found:
        options["repository_url"] = found.url
        options["repository_branch"] = found.branch
        options["repository_provider"] = found.kind
    for button in ("use_repository_button", "use_edit_page_button", "use_issues_button"):
        options[button] = bool(found)


def of(config: Config) -> Repository | None:
    """Return the repository that this build settled on."""
    return Repository(*config.book_repository) if config.book_repository else None


def site_of(config: Config) -> str | None:
    """Return the address of the pages that this build settled on."""
    return config.html_baseurl or None
