"""Every page with cells as a notebook with its outputs, for any viewer: `notebooks/` in the HTML.

Its words are those of the page (see `markdown`), its cells and outputs those of the kept run, so
that it is whole also when nothing ran. Cells that the page hides are there, folded: it runs whole.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
from docutils import nodes
from myst_nb.core.utils import coalesce_streams

from book_build import execution, hosting, labs, markdown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbformat import NotebookNode
    from sphinx.application import Sphinx

__all__ = ["FOLDER", "address", "has_notebook", "offer"]

FOLDER = "notebooks"
GLUED = "application/papermill.record/"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
INSTALL = """\
# The chapter runs the package mlpinit. Where that is installed already, this cell does nothing;
# elsewhere, as on Colab, it fetches the package from the book's repository, in under a minute.
try:
    import mlpinit
except ModuleNotFoundError:
    %pip install --quiet "mlpinit @ git+{url}@{branch}"\
"""

Block = tuple[nodes.Node, markdown.Page]


def address(docname: str) -> str:
    """Where in the HTML the notebook of a page is: `notebooks/part1/corpus.ipynb`."""
    return f"{FOLDER}/{docname.removeprefix('book/')}.ipynb"


def has_notebook(app: Sphinx, docname: str) -> bool:
    """Tell whether a page has cells, and pages are built one by one and not into a single file."""
    return app.builder.name == "html" and execution.run_of(app.env, docname) is not None


def offer(
    app: Sphinx, docname: str, _template: str, context: dict[str, Any], doctree: nodes.document
) -> None:
    """Write the page's notebook, and put it first among the downloads that the theme offers."""
    if doctree is None or not has_notebook(app, docname):
        return
    path = Path(app.outdir, address(docname))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(nbformat.writes(export(app, docname, doctree)) + "\n", encoding="utf-8")
    for group in context.get("header_buttons", ()):
        if group.get("label") == "download-buttons":
            button = {
                "type": "link",
                "url": context["pathto"](address(docname), 1),
                "text": ".ipynb",
                "icon": "fas fa-code",
                "tooltip": "Download this page as a notebook, with its outputs",
                "label": "download-notebook-button",
            }
            group["buttons"] = [button, *without_notebook(group["buttons"])]


def without_notebook(buttons: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out the theme's own notebook, which has no outputs."""
    return [button for button in buttons if button.get("label") != "download-notebook-button"]


def export(app: Sphinx, docname: str, doctree: nodes.document) -> NotebookNode:
    """Make the notebook of a page from its resolved doctree and its kept run."""
    source = with_outputs(app, docname)
    text, captions = words(source, doctree, page_of(app, docname))
    cells = []
    if repository := hosting.of(app.config):
        cells.append(code_cell(INSTALL.format(url=repository.url, branch=repository.branch)))
    for index, cell in enumerate(source.cells):
        if cell.cell_type == "code":
            cells.append(shown(cell))
        if written := markdown.join([*text[index], *captions[index]]):
            cells.append(nbformat.v4.new_markdown_cell(written))
    cells.append(nbformat.v4.new_markdown_cell(colophon(app, docname)))
    for index, cell in enumerate(cells):
        cell["id"] = f"cell-{index}"  # else drawn at random, and no two builds agree
    return nbformat.v4.new_notebook(cells=cells, metadata=nbformat.from_dict(METADATA))


def with_outputs(app: Sphinx, docname: str) -> NotebookNode:
    """Return the cells of a page as MyST-NB read them, with what the kept run put out."""
    read = Path(app.env.mystnb_config.output_folder, f"{docname}.ipynb")
    notebook = nbformat.read(read, as_version=4)
    executed = iter(execution.executed(app.env, docname).cells)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            run = next(executed)
            cell.outputs = run.outputs
            cell.execution_count = run.execution_count
    return notebook


def page_of(app: Sphinx, docname: str) -> markdown.Page:
    """Gather the numbers that the page prints, and its address where one is known."""
    site = hosting.site_of(app.config)
    figures = app.env.toc_fignumbers.get(docname, {})
    return markdown.Page(
        address=site and f"{site}{app.builder.get_target_uri(docname)}",
        sections=app.env.toc_secnumbers.get(docname, {}),
        equations=figures.get("displaymath", {}),
        exercises=figures.get("exercise", {}),
        figures=figures.get("figure", {}),
    )


# Which words belong to which cell


def words(
    notebook: NotebookNode, doctree: nodes.document, page: markdown.Page
) -> tuple[list[list[str]], list[list[str]]]:
    """Return the Markdown of each cell of prose, and the captions under each cell of code."""
    text: list[list[str]] = [[] for _ in notebook.cells]
    captions: list[list[str]] = [[] for _ in notebook.cells]
    parts = list(flattened(doctree, page))
    for (node, inside), index in zip(parts, owners(parts, notebook), strict=True):
        if is_code_cell(node):
            figures = node.findall(nodes.figure)
            captions[index] += [markdown.caption(figure, inside) for figure in figures]
        elif isinstance(node, nodes.title):
            text[index].append(markdown.heading(node.parent, inside))
        else:
            text[index].append(markdown.block(node, inside))
    return text, captions


def flattened(parent: nodes.Element, page: markdown.Page) -> Iterator[Block]:
    """Yield titles and blocks in their order, without the sections around them."""
    for node in parent.children:
        if isinstance(node, nodes.section):
            inside = page.deeper() if isinstance(parent, nodes.section) else page
            yield from flattened(node, inside)
        else:
            yield node, page


def owners(parts: list[Block], notebook: NotebookNode) -> list[int]:
    """Tell from which cell each block came.

    By its line, but no later than the block after it: what an included file or a directive of ours
    adds counts its lines otherwise.
    """
    starts = notebook.metadata["source_map"]
    prose = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "markdown"]
    found, latest = [], len(starts)
    for node, _ in reversed(parts):
        if is_code_cell(node):
            latest = node["cell_index"]
        else:
            # MyST-NB counts a block's lines from 1 and a cell's from 0, and begins a line early.
            index = min(bisect_right(starts, (node.line or math.inf) - 1) - 1, latest)
            latest = prose[max(bisect_right(prose, index) - 1, 0)]
        found.append(latest)
    return found[::-1]


def is_code_cell(node: nodes.Node) -> bool:
    """Tell whether `node` is what the page shows of a cell of code."""
    return isinstance(node, nodes.container) and node.get("nb_element") == "cell_code"


# Cells


def shown(cell: NotebookNode) -> NotebookNode:
    """Fold what the page folds or leaves out, and drop what only the build reads."""
    tags = set(cell.metadata.get("tags", ()))
    outputs = [
        output
        for output in coalesce_streams(cell.outputs)
        if not all(kind.startswith(GLUED) for kind in output.get("data", {"": ""}))
    ]
    for output in outputs:  # a lab asks for its cell to be run, which records its runs anew
        if "text/html" in output.get("data", ()):
            output.data["text/html"] = labs.RECORDING.sub("", output.data["text/html"])
        output.get("metadata", {}).get("image/svg+xml", {}).pop("stacked", None)  # for a telephone
    metadata: dict[str, Any] = {"tags": sorted(tags)} if tags else {}
    hidden = {}
    if tags & {"remove-cell", "remove-input", "hide-input", "hide-cell"}:
        hidden["source_hidden"] = True
        metadata["cellView"] = "form"  # the same, as Colab says it
    if outputs and tags & {"remove-cell", "remove-output", "hide-output", "hide-cell"}:
        hidden["outputs_hidden"] = True
    if hidden:
        metadata["jupyter"] = hidden
    return code_cell(cell.source, cell.execution_count, outputs, metadata)


def code_cell(
    source: str,
    count: int | None = None,
    outputs: list[NotebookNode] | None = None,
    metadata: dict[str, Any] | None = None,
) -> NotebookNode:
    """Make a cell of code."""
    return nbformat.v4.new_code_cell(
        source, execution_count=count, outputs=outputs or [], metadata=metadata or {}
    )


def colophon(app: Sphinx, docname: str) -> str:
    """Say where the notebook is from, as its licence asks."""
    title, site = app.config.html_title, hosting.site_of(app.config)
    page = f"[{title}]({site}{app.builder.get_target_uri(docname)})" if site else f"*{title}*"
    return f"---\nFrom {page}. © {app.config.copyright}."
