"""Texts about the memory budget, for its page, events and the API."""

from __future__ import annotations

from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.memory.budget.types import Budget, BudgetLevel, LimitSource


def level_name(level: BudgetLevel) -> str:
    """Return the name of a level."""
    names = {
        BudgetLevel.CALM: _("normal"),
        BudgetLevel.SOFT: _("soft"),
        BudgetLevel.HIGH: _("high"),
        BudgetLevel.HARD: _("hard"),
    }
    return names[level]


def source_name(source: LimitSource) -> str:
    """Return the name of the source of a limit."""
    names = {
        LimitSource.CONFIGURED: _("configured"),
        LimitSource.CONTAINER: _("the container's"),
        LimitSource.SHARE: _("a share of this machine's RAM"),
    }
    return names[source]


def evidence(budget: Budget, used: int, rss: int, level: BudgetLevel) -> str:
    """Return the figures that justify running an action."""
    over = used - budget.reached_bytes(level)
    template = (
        _("{used} MB used, {over} MB over the {level} watermark of {mark} MB; the limit is {limit} MB")
        if over >= 0
        else _("{used} MB used, {under} MB under the {level} watermark of {mark} MB; the limit is {limit} MB")
    )
    text = template.format(
        used=_mb(used),
        over=_mb(over),
        under=_mb(-over),
        level=level_name(level),
        mark=_mb(budget.reached_bytes(level)),
        limit=_mb(budget.limit),
    )
    if used > rss:
        text += _(" ({rss} MB of it in this process)").format(rss=_mb(rss))
    return text


def recovery(budget: Budget, used: int, rss: int, level: BudgetLevel) -> str:
    """Return the figures that justify undoing an action."""
    settled = used >= budget.left_bytes(level)
    template = (
        _("{used} MB used, for a while under the {level} watermark of {mark} MB")
        if settled
        else _("{used} MB used, under the {mark} MB at which the level {level} is left")
    )
    mark = budget.reached_bytes(level) if settled else budget.left_bytes(level)
    text = template.format(used=_mb(used), mark=_mb(mark), level=level_name(level))
    return text + _(" ({rss} MB of it in this process)").format(rss=_mb(rss)) if used > rss else text


def change(before: BudgetLevel, after: BudgetLevel) -> str:
    """Return the text for a change of level."""
    template = _("Level {after}, up from {before}") if after > before else _("Level {after}, down from {before}")
    return template.format(after=level_name(after), before=level_name(before))


def would_free(estimate: int | None) -> str:
    """Return the outcome of an action in a dry run."""
    if estimate is None:
        return _("it would run; what it would free is unknown")
    return _("it would run and free about {size} MB").format(size=_mb(estimate))


def warning(budget: Budget, rss: int, used: int) -> str:
    """Return a warning about what no action can help against, "" if there is none."""
    floor = budget.floor
    if not budget.limit or not floor:
        return ""
    for level, template in (
        (
            BudgetLevel.HARD,
            _("Millpond used {floor} MB right after its start, more than the hard watermark of {mark} MB: "
              "it cannot accept anything. Neither actions nor a restart help, only a limit above {limit} "
              "MB."),
        ),
        (
            BudgetLevel.SOFT,
            _("Millpond used {floor} MB right after its start, more than the soft watermark of {mark} MB: a restart "
              "would not help, and little headroom is left. Set a limit above {limit} MB."),
        ),
    ):  # fmt: skip
        if floor >= budget.reached_bytes(level):
            return template.format(floor=_mb(floor), mark=_mb(budget.reached_bytes(level)), limit=_mb(budget.limit))
    if used - rss > budget.limit // 2:
        return _("Other processes in the container use {size} MB, which no action here can free.").format(
            size=_mb(used - rss)
        )
    return ""


def _mb(size: int) -> str:
    return f"{size / MEGABYTE:,.0f}"
