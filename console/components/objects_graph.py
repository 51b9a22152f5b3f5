"""What holds an object as a graph in DOT and as text: pure functions."""

from __future__ import annotations

from itertools import pairwise

from console.components.charts.colours import PALETTE
from console.components.formatting import plain, shorten, size
from services.memory.objects.types import Holders, Node, Root, Step
from services.texts import _

_TITLE = 44
_LABEL = 30


def dot(holders: Holders, *, dark: bool) -> str:
    """Return the graph: roots at the left, the object at the right, its shortest path drawn strong."""
    side = 1 if dark else 0
    ink, quiet, accent, panel = (PALETTE[name][side] for name in ("text", "quiet", "accent", "panel"))
    steps = [step.address for step in holders.path]
    on_path = set(pairwise(steps))
    lines = [
        "digraph holders {",
        'graph [rankdir=LR, bgcolor="transparent", nodesep=0.2, ranksep=0.45, pad=0.1];',
        'node [shape=box, style="rounded,filled", fontname="sans-serif", fontsize=11, margin="0.12,0.06"];',
        f'node [fontcolor="{ink}", color="{quiet}", fillcolor="{panel}"];',
        f'edge [fontname="sans-serif", fontsize=10, fontcolor="{quiet}", color="{quiet}", arrowsize=0.7];',
    ]
    for node in holders.nodes:
        strong = f', color="{accent}", penwidth=2' if node.address == holders.found.address else ""
        shape = ", shape=folder" if node.root else ""
        lines.append(f"n{node.address} [label={_quoted(_node_text(node))}{shape}{strong}];")
    for link in holders.links:
        strong = f', color="{accent}", penwidth=2' if (link.source, link.target) in on_path else ""
        label = _quoted(shorten(link.label, _LABEL))
        lines.append(f"n{link.source} -> n{link.target} [label={label}{strong}];")
    return "\n".join([*lines, "}"])


def _node_text(node: Node) -> str:
    title = shorten(node.title, _TITLE)
    kind = shorten(node.type, _TITLE)
    return title if node.root else f"{title}\n{size(node.bytes)}" if kind == title else f"{title}\n{kind}"


def _quoted(text: str) -> str:
    """Return text as a DOT string: only a quote and a backslash mean something in one."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "\\n".join(plain(line) for line in escaped.split("\n")) + '"'


def path_text(holders: Holders) -> str:
    """Return the shortest path as lines, one for each reference."""
    return "\n".join(_line(depth, step) for depth, step in enumerate(holders.path))


def _line(depth: int, step: Step) -> str:
    name = plain(step.name)
    return f"{'  ' * depth}{plain(step.label)}  →  {name}" if depth else name


def root_text(root: Root) -> str:
    """Return in a sentence what a path begins with."""
    return {
        Root.MODULE: _("It is reached from a module: it lives until that name lets go of it."),
        Root.THREAD: _("It is reached from a local variable of a running function: it lives until that returns."),
        Root.NATIVE: _(
            "Nothing in Python that can be followed holds it: native code does, or an expression that was just "
            "being computed."
        ),
        Root.CYCLE: _(
            "It is part of a cycle that nothing else reaches: the next collection frees it, unless native code holds "
            "on to it."
        ),
    }[root]
