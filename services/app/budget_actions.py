"""The actions of the memory budget in their order: from what nobody notices to a restart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from services.core.actor import SERVICE, person_name
from services.core.admission import PERSON, Admission, Gate
from services.core.errors import MillpondError, NotFoundError
from services.core.i18n import _, joined, plural
from services.core.machine import MEGABYTE
from services.core.preferences import Preferences
from services.core.settings import Settings
from services.memory.budget.types import BudgetAction, BudgetLevel
from services.memory.process import rss_bytes, trim_heap

if TYPE_CHECKING:
    from services.knowledge.ingestion import Ingestion
    from services.memory.budget.governor import Governor
    from services.memory.clock import Clock
    from services.memory.gc.control import GCControl
    from services.memory.reclaimers import Reclaimers
    from services.operations.restarts import Restarts

BUDGET = "budget"  # the name under which the budget closes gates
CACHES = ("embedding_cache", "answer_cache", "search_cache", "search_caches", "database")
SESSIONS = ("windows", "uploads", "sessions", "media", "streamlit_caches")
MODELS = ("chat_model", "cuda")
# Less than this is not worth an action that costs somebody something.
MIN_BYTES = 1 * MEGABYTE
# A collection that freed nothing is tried again once RSS has grown by so much.
MIN_GROWTH_BYTES = 8 * MEGABYTE
PAUSE_SECONDS = 2.0
_LAST_RESTART_KEY = "memory budget: last restart"


def budget_actions(  # noqa: PLR0917 - the composition root calls it, nobody else
    settings: Settings,
    clock: Clock,
    preferences: Preferences,
    admission: Admission,
    collector: GCControl,
    reclaimers: Reclaimers,
    ingestion: Ingestion,
    governor: Governor,
    restarts: Restarts,
) -> Sequence[BudgetAction]:
    """Return the actions in the order in which the budget takes them."""
    cool_down = settings.budget_cool_down_seconds
    last_restart = LastRestart(preferences, clock.time, settings.budget_restart_minutes * 60)
    return (
        _collect_and_trim(collector, cool_down),
        _release(
            reclaimers,
            cool_down,
            "caches",
            BudgetLevel.SOFT,
            label=_("Shrink caches"),
            explanation=_(
                "Vectors of questions, answers and frequent words are forgotten; the next questions compute them anew."
            ),
            names=CACHES,
        ),
        _release(
            reclaimers,
            cool_down,
            "sessions",
            BudgetLevel.HIGH,
            label=_("Release idle conversations and expired sessions"),
            explanation=_(
                "What closed tabs left behind and what nobody has used recently; conversations are read "
                "from disk again."
            ),
            names=SESSIONS,
        ),
        _slow_ingestion(admission, ingestion),
        _release(
            reclaimers,
            cool_down,
            "models",
            BudgetLevel.HIGH,
            label=_("Unload optional models"),
            explanation=_(
                "The local chat model is unloaded; it is loaded again with the next question, if there is room."
            ),
            names=MODELS,
        ),
        _refuse_work(admission, clock.time),
        _restart(settings, last_restart, governor, restarts),
    )


def _collect_and_trim(collector: GCControl, cool_down: float) -> BudgetAction:
    unproductive_rss = 0  # RSS after the last collection, if that freed nothing worth mentioning

    def run() -> str:
        nonlocal unproductive_rss
        before = rss_bytes()
        found = collector.collect_unrecorded(2).found
        trim_heap()
        after = rss_bytes()
        unproductive_rss = after if before - after < MIN_BYTES else 0
        return plural(
            "{count} object of garbage found, free pages given back",
            "{count} objects of garbage found, free pages given back",
            found,
        )

    def skip_reason() -> str:
        if unproductive_rss and rss_bytes() < unproductive_rss + MIN_GROWTH_BYTES:
            return _("it gave nothing back last time, and little has been added since")
        return ""

    return BudgetAction(
        "collect",
        BudgetLevel.SOFT,
        _("Collect garbage and give free pages back"),
        _("Nobody notices anything but a pause of some tens of milliseconds."),
        run,
        skip_reason=skip_reason,
        cool_down=cool_down,
    )


def _release(
    reclaimers: Reclaimers,
    cool_down: float,
    name: str,
    level: BudgetLevel,
    *,
    label: str,
    explanation: str,
    names: Sequence[str],
) -> BudgetAction:
    """Return the action that releases what is registered under `names`, as far as it is there and worth it."""

    def sizes() -> dict[str, int | None]:
        found = {offer.name: offer.bytes for offer in reclaimers.available() if offer.name in names}
        return {name: size for name, size in found.items() if size is None or size > 0}

    def estimate() -> int | None:
        known = [size for size in sizes().values() if size is not None]
        return sum(known) if known else None

    def skip_reason() -> str:
        found = sizes()
        if not found:
            return _("there is nothing to release")
        known = sum(size or 0 for size in found.values())
        if None not in found.values() and known < MIN_BYTES:
            return _("it would give back less than {size:.0f} MB").format(size=MIN_BYTES / MEGABYTE)
        return ""

    def run() -> str:
        outcomes = []
        for each in [each for each in names if each in sizes()]:
            with suppress(NotFoundError):
                outcomes.append(f"{reclaimers.label(each)}: {_release_one(reclaimers, each)}")
        trim_heap()
        return joined(outcomes, _("; ")) or _("there was nothing left to release")

    return BudgetAction(
        name,
        level,
        label,
        explanation,
        run,
        estimate=estimate,
        skip_reason=skip_reason,
        cool_down=cool_down,
        timeout=5.0,
    )


def _release_one(reclaimers: Reclaimers, name: str) -> str:
    """Return the outcome; a failure of one does not keep the others from being released."""
    try:
        return reclaimers.release(SERVICE, name).detail
    except NotFoundError:
        raise
    except MillpondError as error:
        return error.message


def _slow_ingestion(admission: Admission, ingestion: Ingestion) -> BudgetAction:
    def run() -> str:
        admission.slow_ingestion(PAUSE_SECONDS)
        return _("one document at a time, with a pause of {seconds:.0f} s after each").format(seconds=PAUSE_SECONDS)

    def run_for(person: str) -> str:
        admission.slow_ingestion(PAUSE_SECONDS, person)
        return _("requested by {person}: one document at a time, with a pause of {seconds:.0f} s after each").format(
            person=person_name(person), seconds=PAUSE_SECONDS
        )

    def undo() -> str:
        admission.slow_ingestion(0.0)
        ingestion.wake()
        return _("at full speed again")

    def skip_reason() -> str:
        return "" if ingestion.job_store.unfinished() else _("no documents are being processed")

    return BudgetAction(
        "slow_ingestion",
        BudgetLevel.HIGH,
        _("Slow ingestion down"),
        _("Documents are processed one at a time, in small portions, with a pause after each. None is lost."),
        run,
        undo=undo,
        skip_reason=skip_reason,
        run_for=run_for,
    )


def _refuse_work(admission: Admission, now: Callable[[], float]) -> BudgetAction:
    def run() -> str:
        hint = _("Nothing was stored. Try again in a few minutes; questions of up to 500 characters are answered.")
        reason = _("Millpond is short of memory and accepts no {what} for now, so that it is not killed.")
        admission.close(Gate.UPLOADS, BUDGET, reason.format(what=_("new files")), hint)
        admission.close(Gate.LONG_QUESTIONS, BUDGET, reason.format(what=_("long questions")), hint)
        return _("new files and long questions are refused, with a reason")

    def run_for(person: str) -> str:
        name, since = person_name(person), now()
        reason = _("{name} has stopped {what} since {time} UTC; memory is not the reason.")
        hint = _("Nothing was stored. It lasts until somebody undoes it on the budget page.")
        for gate, what in ((Gate.UPLOADS, _("new files")), (Gate.LONG_QUESTIONS, _("long questions"))):
            why = reason.format(
                name=name[:1].upper() + name[1:], what=what, time=f"{datetime.fromtimestamp(since, UTC):%F %H:%M}"
            )
            admission.close(gate, PERSON, why, hint, person=name, since=since)
        return _("new files and long questions are refused for everybody, at the request of {name}").format(name=name)

    def undo() -> str:
        for gate in (Gate.UPLOADS, Gate.LONG_QUESTIONS):
            admission.open(gate, BUDGET)
            admission.open(gate, PERSON)
        return _("files and long questions are accepted again")

    return BudgetAction(
        "refuse",
        BudgetLevel.HARD,
        _("Refuse new uploads and long questions"),
        _("They get an answer that says why, and when to come back. What is under way goes on."),
        run,
        undo=undo,
        run_for=run_for,
    )


def _restart(settings: Settings, last: LastRestart, governor: Governor, restarts: Restarts) -> BudgetAction:
    def skip_reason() -> str:
        state = governor.state()
        if state.ready_rss_bytes >= state.budget.reached_bytes(BudgetLevel.SOFT):
            return _("Millpond takes {floor:,.0f} MB when it has just started; that is over the soft watermark").format(
                floor=state.ready_rss_bytes / MEGABYTE
            )
        if state.used_bytes - state.rss_bytes > state.rss_bytes - state.ready_rss_bytes:
            return _("others in the container use more than a restart would give back")
        return last.too_soon() or restarts.refusal()

    def run() -> str:
        reason = _("the memory budget: every other step was taken, and the hard watermark is still passed")
        restarts.request(SERVICE, reason)
        last.record()
        return _("work under way may end; then Millpond starts again")

    def estimate() -> int | None:
        floor = governor.budget().floor
        return max(0, rss_bytes() - floor) if floor else None

    return BudgetAction(
        "restart",
        BudgetLevel.HARD,
        _("Restart"),
        _("Work under way comes to its end first. Only where that helps, and not again soon."),
        run,
        estimate=estimate,
        skip_reason=skip_reason,
        cool_down=max(60.0, settings.budget_cool_down_seconds),
        patience=settings.budget_restart_after_seconds,
    )


class LastRestart:
    """When the budget last requested a restart, kept in the preferences so that one does not follow the other.

    Times in seconds.
    """

    def __init__(self, preferences: Preferences, now: Callable[[], float], min_seconds: float) -> None:
        self._preferences = preferences
        self._now = now
        self._min_seconds = min_seconds
        self._time = float((preferences.get(_LAST_RESTART_KEY) or {}).get("time", 0.0))

    def too_soon(self) -> str:
        """Return why it is too soon for another one, "" if it is not."""
        passed = self._now() - self._time
        if passed >= self._min_seconds:
            return ""
        return _("the budget asked for a restart {minutes:.0f} min ago, and it does so once in {least:.0f} min").format(
            minutes=passed / 60, least=self._min_seconds / 60
        )

    def record(self) -> None:
        """Record that a restart was requested now.

        Raises:
            StorageError: it could not be written; within this process it is known all the same.
        """
        self._time = self._now()
        self._preferences.set(_LAST_RESTART_KEY, {"time": self._time})
