"""The graph of what holds an object, in DOT.

Streamlit gives all text of a graph its own font and shrinks the picture to the page; the style sheet of the pages takes
both back, so that a label is as wide as Graphviz expects: in a font whose characters all have one width.
"""

from __future__ import annotations

from itertools import pairwise
from unicodedata import east_asian_width
from urllib.parse import urlencode

from console.navigation import PageName
from console.ui.charts.palette import PALETTE
from console.ui.session_state import Query
from console.ui.shared.formatting import cut_middle, plain, size
from services.memory.objects.types import GraphLink, GraphNode, RetentionPaths

_MOST_TITLE = 44  # columns
_MOST_LABEL = 30
# In points: 12 pixels are 9 of them. The style sheet has the same.
_NODE_POINTS, _EDGE_POINTS = 10, 9.5
_WIDTH = 0.61  # of a character, in sizes of the font
_MARGIN = 0.14  # inches, on each side


def retention_dot(holders: RetentionPaths, *, dark: bool) -> str:
    """Return the graph in DOT: the object on the left, where one begins to read, its shortest path emphasised.

    Long names are cut in the middle and whole on hover; each node links to what holds it in turn.
    """
    side = 1 if dark else 0
    ink, quiet, accent, panel = (PALETTE[name][side] for name in ("text", "quiet", "accent", "panel"))
    steps = [step.address for step in holders.path]
    on_path = set(pairwise(steps))
    lines = [
        "digraph holders {",
        'graph [rankdir=RL, bgcolor="transparent", nodesep=0.25, ranksep=0.4, pad=0.1];',
        f'node [shape=box, style="rounded,filled", fontname="Courier", fontsize={_NODE_POINTS}];',
        f'node [fontcolor="{ink}", color="{quiet}", fillcolor="{panel}", margin="{_MARGIN},0.07"];',
        f'edge [fontname="Courier", fontsize={_EDGE_POINTS}, fontcolor="{ink}", color="{quiet}", arrowsize=0.7];',
    ]
    for node in holders.nodes:
        strong = f', color="{accent}", penwidth=2' if node.address == holders.found.address else ""
        lines.append(f"n{node.address} [{_node(node)}{', shape=folder' if node.root else ''}{strong}];")
    for link in holders.links:
        strong = f', color="{accent}", penwidth=2' if (link.source, link.target) in on_path else ""
        lines.append(f"n{link.source} -> n{link.target} [{_link(link)}{strong}];")
    return "\n".join([*lines, "}"])


def _node(node: GraphNode) -> str:
    title, kind, bytes_ = plain(node.title), plain(node.type), size(node.bytes)
    whole = [title] if kind == title else [title, kind]
    shown = [cut_middle(line, _MOST_TITLE) for line in whole] + ([] if node.root else [bytes_])
    columns = max(map(_columns, shown))
    wide = columns * _NODE_POINTS * _WIDTH / 72 + 2 * _MARGIN
    address = (
        "./" + PageName.OBJECTS + "?" + urlencode({Query.TYPE.value: node.type, Query.OBJECT.value: str(node.address)})
    )
    return f"label={_quoted(shown)}, width={wide:.2f}, tooltip={_quoted([*whole, bytes_])}, URL={_quoted([address])}"


def _columns(text: str) -> int:
    """Return how many columns a text takes: a Chinese character two, which Graphviz does not know."""
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)


def _link(link: GraphLink) -> str:
    # A space on either side: the label must not touch its line.
    return f"label={_quoted([f' {cut_middle(link.label, _MOST_LABEL)} '])}, labeltooltip={_quoted([link.label])}"


def _quoted(lines: list[str]) -> str:
    """Return lines as a DOT string, where only quotes and backslashes are special."""
    return '"' + "\\n".join(_escaped(line) for line in lines) + '"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
