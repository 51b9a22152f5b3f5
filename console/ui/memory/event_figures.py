"""The figures of an event in words, such as "documents 1, 1.59 s, RSS 304 MB"."""

from __future__ import annotations

from console.ui.shared.formatting import size
from services.core.i18n import _, listed
from services.operations.event_log import Event


def figures_text(event: Event) -> str:
    """Return all figures of an event."""
    return listed(_figure(name, value) for name, value in event.figures.items())


def _figure(name: str, value: float) -> str:
    words = _names().get(name)
    if words is None:
        words = name.replace("_", " ").replace("rss", "RSS")
        words = words.replace("bytes", "").strip().removesuffix("seconds").strip()
    if "bytes" in name or "rss" in name:
        return f"{words} {size(value)}".strip()
    if name.endswith("seconds"):
        return f"{words} {value:.3g} s".strip()
    return f"{words} {value:,.6g}"


def _names() -> dict[str, str]:
    return {
        "actions": _("actions"),
        "blocks": _("blocks"),
        "chunks": _("chunks"),
        "collected": _("collected"),
        "conversations": _("conversations"),
        "count": _("count"),
        "documents": _("documents"),
        "failed": _("failed"),
        "frames": _("frames"),
        "generation": _("generation"),
        "level": _("level"),
        "limit": _("limit"),
        "longest_seconds": _("longest"),
        "minutes": _("minutes"),
        "modules": _("modules"),
        "names": _("names"),
        "pause_seconds": _("pause"),
        "rss_after": _("RSS after"),
        "rss_before": _("RSS before"),
        "rounds": _("rounds"),
        "runs": _("runs"),
        "uncollectable": _("uncollectable"),
        "unloaded": _("unloaded"),
        "vectors": _("vectors"),
    }
