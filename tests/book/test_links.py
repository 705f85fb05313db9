"""`make links` opens what a page links to, and names what does not answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from small_project import Project


class Server(BaseHTTPRequestHandler):
    """Has one page, `/there`."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/there" else 404)
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815 (http.server looks for this name)

    def log_message(self, *_: object) -> None:
        """Nothing: a test's output is its own."""


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()


def test_dead_links_are_named_and_do_not_spoil_the_book(project: Project, server: str) -> None:
    page = project.root / "book" / "prose.md"
    page.write_text(
        f"# Prose\n\n[there]({server}/there), [gone]({server}/gone), [lost]({server}/lost)\n"
    )
    result = project.make("links")
    assert result.returncode != 0
    assert f"{server}/gone" in result.stdout
    assert f"{server}/lost" in result.stdout
    assert f"{server}/there" not in result.stdout
    assert "prose.md" in result.stdout
    assert not (project.root / "_build" / ".unfinished").exists()

    page.write_text(f"# Prose\n\n[there]({server}/there)\n")
    result = project.make("links")
    assert result.returncode == 0, result.stdout
    assert "Every link leads somewhere" in result.stdout
