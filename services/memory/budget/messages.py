"""What the budget says of itself."""

from __future__ import annotations

from services.core.i18n import _
from services.core.settings import MEGABYTE
from services.memory.budget.types import Budget, BudgetLevel, LimitSource


def level_name(level: BudgetLevel) -> str:
    """Return what people call a level."""
    names = {
        BudgetLevel.CALM: _("calm"),
        BudgetLevel.SOFT: _("soft"),
        BudgetLevel.HIGH: _("high"),
        BudgetLevel.HARD: _("hard"),
    }
    return names[level]


def source_name(source: LimitSource) -> str:
    """Return where a limit comes from, in words."""
    names = {
        LimitSource.CONFIGURED: _("configured"),
        LimitSource.CONTAINER: _("the container's"),
        LimitSource.SHARE: _("a share of this machine's RAM"),
    }
    return names[source]


def evidence(budget: Budget, used: int, rss: int, level: BudgetLevel) -> str:
    """Return by what a step is justified."""
    over = used - budget.reached(level)
    words = (
        _("{used} MB used, {over} MB over the {level} watermark of {mark} MB; the limit is {limit} MB")
        if over >= 0
        else _("{used} MB used, {under} MB under the {level} watermark of {mark} MB; the limit is {limit} MB")
    )
    text = words.format(
        used=_mb(used),
        over=_mb(over),
        under=_mb(-over),
        level=level_name(level),
        mark=_mb(budget.reached(level)),
        limit=_mb(budget.limit),
    )
    if used > rss:
        text += _(" ({rss} MB of it in this process)").format(rss=_mb(rss))
    return text


def recovery(budget: Budget, used: int, rss: int, level: BudgetLevel) -> str:
    """Return by what the end of a step is justified."""
    settled = used >= budget.left(level)
    words = (
        _("{used} MB used, for a while under the {level} watermark of {mark} MB")
        if settled
        else _("{used} MB used, under the {mark} MB at which the level {level} is left")
    )
    mark = budget.reached(level) if settled else budget.left(level)
    text = words.format(used=_mb(used), mark=_mb(mark), level=level_name(level))
    return text + _(" ({rss} MB of it in this process)").format(rss=_mb(rss)) if used > rss else text


def change(before: BudgetLevel, after: BudgetLevel) -> str:
    """Return that another level was reached."""
    words = _("Level {after}, up from {before}") if after > before else _("Level {after}, down from {before}")
    return words.format(after=level_name(after), before=level_name(before))


def would_free(estimate: int | None) -> str:
    """Return what a step would do in a dry run."""
    if estimate is None:
        return _("it would be taken; nobody can tell what it would free")
    return _("it would be taken and free about {size} MB").format(size=_mb(estimate))


def warning(budget: Budget, rss: int, used: int) -> str:
    """Return what no step can help against, "" if there is nothing of the kind."""
    floor = budget.floor
    if not budget.limit or not floor:
        return ""
    for level, words in (
        (
            BudgetLevel.HARD,
            _("Millpond took {floor} MB when it had just started, more than the hard watermark of {mark} MB: it can "
              "take in nothing. Neither steps nor a restart help, only a limit above {limit} MB."),
        ),
        (
            BudgetLevel.SOFT,
            _("Millpond took {floor} MB when it had just started, more than the soft watermark of {mark} MB: a restart "
              "would not help, and little room is left. Give it more than {limit} MB."),
        ),
    ):  # fmt: skip
        if floor >= budget.reached(level):
            return words.format(floor=_mb(floor), mark=_mb(budget.reached(level)), limit=_mb(budget.limit))
    if used - rss > budget.limit // 2:
        return _("Others in the container use {size} MB; no step here can give that back.").format(size=_mb(used - rss))
    return ""


def _mb(size: int) -> str:
    return f"{size / MEGABYTE:,.0f}"
