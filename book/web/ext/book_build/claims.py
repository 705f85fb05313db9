"""The mark after a sentence that says how it is known, and the page that lists all claims.

`` {claim}`name` `` stands after a sentence that a page checks with `chapter.claim("name", …)`. What
the mark says, on hover, focus and tap, comes from the record of the claim on ten sets of draws (see
`evidence`); in print it is a short code. `{claims-table}` lists the claims of all chapters.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective, SphinxRole

from book_build import evidence

if TYPE_CHECKING:
    from pathlib import Path

    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment
    from sphinx.writers.html5 import HTML5Translator

__all__ = ["setup"]

MARK = "claims-table"
LABEL = "How this is known"
NOT_YET = "Checked in every build; not yet on other draws."


class Mark(nodes.inline):
    """A mark; search, the notebooks and the terms' finder see nothing in it."""


class ClaimRole(SphinxRole):
    """`` {claim}`name` ``."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Put a mark with what is known of the claim."""
        root = self.env.app.srcdir
        record, known = self._known()
        claim = known.get(self.text)
        if record and claim is None and record.key == evidence.key_of(root, self.env.docname):
            what = f"no claim of this page is called {self.text!r}"
            return [], [self.inliner.reporter.warning(what, line=self.lineno)]
        says, code = (in_words(claim), in_short(claim)) if claim else (NOT_YET, "")
        return [Mark("", name=self.text, says=says, code=code)], []

    def _known(self) -> tuple[evidence.Record | None, dict[str, evidence.Known]]:
        """The page's record, read once for all of its marks, and its claims by name."""
        if MARK not in self.env.temp_data:
            record = evidence.load(self.env.app.srcdir, self.env.docname)
            claims = {claim.name: claim for claim in record.claims} if record else {}
            self.env.temp_data[MARK] = record, claims
        return self.env.temp_data[MARK]


class ClaimsTable(SphinxDirective):
    """A table for each chapter: what is claimed, how it is known, by how much."""

    def run(self) -> list[nodes.Node]:
        """Write them as the page would, and let the page's parser read them."""
        self.env.metadata[self.env.docname][MARK] = True
        lines = [line for page in evidence.pages(self.env.app.srcdir) for line in self.rows(page)]
        box = nodes.container(classes=[MARK])
        self.state.nested_parse(StringList(lines, self.env.docname), self.content_offset, box)
        return [box]

    def rows(self, page: str) -> list[str]:
        """Return a chapter's table under its name."""
        record = evidence.load(self.env.app.srcdir, page)
        if record is None:
            return []
        rows = [
            f"| {sentence(claim.says)} | {kind(claim)} | {counts(claim)} | {margin(claim)} |"
            for claim in record.claims
        ]
        head = "| claim | known by | held; null rejected | smallest margin |"
        return [f"**{{doc}}`/{page}`**", "", head, "|---|---|---|---:|", *rows, ""]


def setup(app: Sphinx) -> None:
    """Connect the parts."""
    app.add_role("claim", ClaimRole())
    app.add_directive(MARK, ClaimsTable)
    silent = (lambda *_: None, None)
    app.add_node(Mark, html=(visit, depart), latex=silent, text=silent, man=silent)
    app.connect("env-get-outdated", whose_record_changed)
    app.connect("env-before-read-docs", tell_stale, priority=700)


# What is said of a claim


def kind(claim: evidence.Known) -> str:
    """Say how it is known, in the words of the book."""
    if claim.how == "cited":
        return f"cited: {{cite:t}}`{claim.source}`"
    if claim.how in ("proved", "exact"):
        return {"proved": "proved", "exact": "computed exactly"}[claim.how]
    if claim.how == "recorded":
        several = f"{claim.seeds} recorded seeds" + ", paired" * claim.paired
        return "one recorded run" if claim.seeds == 1 else several
    if claim.seeds == 1:
        return "one run"
    return f"{claim.seeds} seeds, paired" if claim.paired else f"{claim.seeds} seeds"


def counts(claim: evidence.Known) -> str:
    """Say in how many of the repetitions it held, and its null did not."""
    if not claim.nulls:
        return "holds" if claim.margins else ""
    held, rejected = ("{} of {}".format(*count) for count in (claim.held, claim.rejected))
    return f"holds; {rejected}" if claim.how == "exact" else f"{held}; {rejected}"


def margin(claim: evidence.Known) -> str:
    """Write the smallest margin; a truth value has none."""
    whole = {abs(margin) for margins in claim.margins for margin in margins}
    return "" if not claim.margins or whole == {0.5} else f"{claim.smallest:.2g}"


def in_words(claim: evidence.Known) -> str:
    """Say in one line how a claim is known."""
    if claim.how == "cited":
        return "Cited: the source stands in the sentence."
    if claim.how in ("proved", "exact"):
        said = {"proved": "Proved", "exact": "Computed exactly, without a draw"}[claim.how]
        return f"{said}; checked in every build." if claim.margins else f"{said}."
    (held, of), (rejected, among) = claim.held, claim.rejected
    what = unit(claim, of)
    said = [f"Holds in {held} of {of} {what}"]
    if number := margin(claim):
        said.append(f", smallest margin {number}")
    said.append(f"; where the effect is absent, the check fails in {rejected} of {among}.")
    return "".join(said)


def unit(claim: evidence.Known, of: int) -> str:
    """Name what was repeated."""
    if claim.how == "recorded":
        several = "recorded seeds" if of > 1 else f"comparisons of {claim.seeds} recorded seeds"
        return "recorded runs" if claim.seeds == 1 else several
    if claim.seeds == 1:
        return "seeds"
    return f"repetitions with {claim.seeds} {'paired ' * claim.paired}seeds each"


def in_short(claim: evidence.Known) -> str:
    """Write the code for print."""
    measured = claim.how in ("run", "recorded")
    return "{}/{}".format(*claim.held) if measured else claim.how[0].upper()


def sentence(says: str) -> str:
    """Write a claim as a cell of a table."""
    return says[0].upper() + says[1:].replace("|", "\\|")


# When pages are read


def whose_record_changed(
    app: Sphinx, env: BuildEnvironment, _added: set[str], _changed: set[str], _removed: set[str]
) -> list[str]:
    """Have pages read again whose record has changed, and with any of them the list."""
    now = {page: digest(app.srcdir, page) for page in evidence.pages(app.srcdir)}
    before, env.book_evidence = getattr(env, "book_evidence", None), now
    if before is None or before == now:
        return []
    changed = {page for page in now | before if now.get(page) != before.get(page)}
    lists = {page for page in env.found_docs if MARK in env.metadata.get(page, {})}
    return sorted((changed | lists) & set(env.found_docs))


def digest(root: Path, page: str) -> str | None:
    """Tell a record from another; None where there is none."""
    path = evidence.place(root, page)
    return path.read_text(encoding="utf-8") if path.is_file() else None


def tell_stale(app: Sphinx, env: BuildEnvironment, docnames: list[str]) -> None:
    """Name on the terminal the pages about to be read whose record is of other code."""
    with_claims = sorted(set(evidence.pages(app.srcdir)) & set(docnames))
    if found := evidence.stale(app.srcdir, with_claims, partial(key_today, env)):
        print(f"Not tried on other draws with today's code: {', '.join(found)}; `make evidence`")


def key_today(env: BuildEnvironment, root: Path, page: str) -> str:
    """The page's key, which takes a quarter of a second: worked out anew for a new run alone."""
    keys = env.book_evidence_keys = getattr(env, "book_evidence_keys", {})
    made_by = env.mystnb_config.execution_cache_path, env.book_runs.get(page, {}).get("key")
    if keys.get(page, (None,))[0] != made_by:
        keys[page] = made_by, evidence.key_of(root, page)
    return keys[page][1]


# Pages


def visit(translator: HTML5Translator, node: Mark) -> None:
    """Write the mark with what it says."""
    number = translator.claims = getattr(translator, "claims", 0) + 1
    said = f"how-known-{number}"
    attributes: dict[str, Any] = {"type": "button", "aria-label": LABEL, "aria-describedby": said}
    keep_with_its_word(translator.body)
    translator.body.append('<span class="claim">')
    translator.body.append(translator.starttag(node, "button", "", **attributes))
    translator.body.append(f'<span class="code">{node["code"]}</span></button>')
    text = translator.encode(node["says"])
    translator.body.append(f'<span role="tooltip" id="{said}">{text}</span></span></span>')


def keep_with_its_word(body: list[str]) -> None:
    """Open a box that does not break, before the word that was written last."""
    text, word = re.fullmatch(r"(.*\s|)(\S*)", body.pop(), re.DOTALL).groups()
    if "<" in word or ">" in word:
        text, word = text + word, ""
    body += [text, f'<span class="marked">{word}']


def depart(_translator: HTML5Translator, _node: Mark) -> None:
    """Nothing is left to write."""
