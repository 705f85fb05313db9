"""Build the book: `python -m book_build` in the project's root, with this folder on PYTHONPATH.

It does what `jupyter-book build .` does, in less time, and nothing where nothing has changed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from book_build import unchanged

__all__ = ["main"]


def main() -> int:
    """Build `_build/html` and print the page to open; 0 only if the book is whole."""
    parser = argparse.ArgumentParser(prog="book_build", description=main.__doc__)
    parser.add_argument("--jobs", type=int, default=2, help="pages at a time (default: 2)")
    parser.add_argument("--solutions", default="1", choices="01", help="0 leaves them out")
    parser.add_argument("--links", action="store_true", help="then try the links out of the book")
    args = parser.parse_args()
    root = Path.cwd()
    solutions = args.solutions == "1"
    asked = {"book_jobs": args.jobs, "book_solutions": solutions}
    made_from = unchanged.ingredients(root, solutions)
    if not unchanged.is_built(root, made_from):
        status = sphinx(root, "html", asked, lean=not args.links)
        if status != 0:
            print("The book is not built: see the message above.", file=sys.stderr)
            return status
        unchanged.record(root, made_from)
    print(f"The book is built. Open {root / '_build' / 'html' / 'index.html'}")
    return check_links(root, asked) if args.links else 0


def check_links(root: Path, asked: dict[str, int]) -> int:
    """Open every address that a page links to, and name those that do not answer."""
    status = sphinx(root, "linkcheck", asked)
    print("A link is broken: see above." if status else "Every link leads somewhere.")
    return status


def sphinx(root: Path, builder: str, asked: dict[str, int], lean: bool = False) -> int:
    """Run Sphinx with the book's settings and those that are asked for; return its status.

    Where no other builder follows in this process, it is lean: it loads this one alone.
    """
    from book_build import patterns  # noqa: PLC0415

    build = root / "_build"
    build.mkdir(exist_ok=True)
    patterns.serve(build)
    from book_build import imports, shortcuts  # noqa: PLC0415

    shortcuts.take()
    from sphinx.application import Sphinx  # noqa: PLC0415
    from sphinx.cmd.build import handle_exception  # noqa: PLC0415
    from sphinx.util.console import color_terminal, nocolor  # noqa: PLC0415
    from sphinx.util.docutils import docutils_namespace, patch_docutils  # noqa: PLC0415

    from book_build.settings import read_settings  # noqa: PLC0415

    if not color_terminal():
        nocolor()
    settings = read_settings(root, build) | asked
    if lean:
        unknown = imports.leave_out_builders()
        settings = {k: v for k, v in settings.items() if not k.startswith(unknown)}
        imports.load_parts()
    shortcuts.hide_from_search()
    app = None
    try:
        with patch_docutils(str(root)), docutils_namespace():
            folders = (root, None, build / builder, build / ".doctrees")
            app = Sphinx(*folders, builder, settings, status=None, warningiserror=True)
            app.build()
            patterns.keep(build)
            return app.statuscode
    except (Exception, KeyboardInterrupt) as exception:
        options = argparse.Namespace(pdb=False, verbosity=0, traceback=False)
        handle_exception(app, options, exception, sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
