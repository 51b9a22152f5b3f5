"""What the memory budget can do, in the order in which it does it: from what nobody notices to a restart.

When the memory budget asked for a restart the last time: kept, so that one does not follow the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from services.core.access import SERVICE
from services.core.admission import Gate
from services.core.errors import MillpondError, NotFoundError
from services.core.i18n import _, plural
from services.core.preferences import Preferences
from services.core.settings import MEGABYTE
from services.memory.budget.types import BudgetAction, BudgetLevel
from services.memory.process import rss_bytes, trim_heap

if TYPE_CHECKING:
    from services.app.container import Runtime

BY = "budget"
CACHES = ("embedding_cache", "answer_cache", "search_cache", "search_caches", "database")
SESSIONS = ("windows", "uploads", "sessions", "media", "streamlit_caches")
MODELS = ("chat_model", "cuda")
# Less than this is not worth a step that costs somebody something.
LEAST_BYTES = 1 * MEGABYTE
# A collection that gave nothing back is tried again once RSS has grown by so much.
WORTH_AGAIN = 8 * MEGABYTE
PAUSE_SECONDS = 2.0
_KEY = "memory budget: last restart"


def steps(runtime: Runtime) -> Sequence[BudgetAction]:
    """Return the steps over the parts of `runtime`."""
    cool_down = runtime.settings.budget_cool_down_seconds
    return (
        _collect_and_trim(runtime, cool_down),
        _release(
            runtime,
            "caches",
            BudgetLevel.SOFT,
            label=_("Shrink caches"),
            explanation=_(
                "Vectors of questions, answers and frequent words are forgotten; the next questions compute them anew."
            ),
            names=CACHES,
        ),
        _release(
            runtime,
            "sessions",
            BudgetLevel.HIGH,
            label=_("Release idle conversations and expired sessions"),
            explanation=_(
                "What closed tabs left and what nobody has used of late; conversations are read from disk again."
            ),
            names=SESSIONS,
        ),
        BudgetAction(
            "slow_ingestion",
            BudgetLevel.HIGH,
            _("Slow ingestion down"),
            _("Documents are taken in one at a time, in small portions, with a rest after each. None is lost."),
            run=lambda: _slow_down(runtime),
            undo=lambda: _full_speed(runtime),
            skip_reason=lambda: _no_documents(runtime),
        ),
        _release(
            runtime,
            "models",
            BudgetLevel.HIGH,
            label=_("Unload optional models"),
            explanation=_(
                "The local chat model is unloaded; it is loaded again with the next question, if there is room."
            ),
            names=MODELS,
        ),
        BudgetAction(
            "refuse",
            BudgetLevel.HARD,
            _("Refuse new uploads and long questions"),
            _("They get an answer that says why, and when to come back. What is under way goes on."),
            run=lambda: _close_doors(runtime),
            undo=lambda: _open_doors(runtime),
        ),
        _restart(runtime),
    )


def _collect_and_trim(runtime: Runtime, cool_down: float) -> BudgetAction:
    after = 0  # RSS after the last time, if that gave nothing back worth mentioning

    def take() -> str:
        nonlocal after
        before = rss_bytes()
        found = runtime.memory.collector.run(2).found
        trim_heap()
        now = rss_bytes()
        after = now if before - now < LEAST_BYTES else 0
        return plural(
            "{count} object of garbage found, free pages given back",
            "{count} objects of garbage found, free pages given back",
            found,
        )

    def needed() -> str:
        if after and rss_bytes() < after + WORTH_AGAIN:
            return _("it gave nothing back the last time, and little has come since")
        return ""

    return BudgetAction(
        "collect",
        BudgetLevel.SOFT,
        _("Collect garbage and give free pages back"),
        _("Nobody notices but for a pause of some tens of milliseconds."),
        run=take,
        skip_reason=needed,
        cool_down=cool_down,
    )


def _release(
    runtime: Runtime, name: str, level: BudgetLevel, *, label: str, explanation: str, names: Sequence[str]
) -> BudgetAction:
    """Return the step that gives back what is registered under `names`, as far as it is there and worth it."""
    reclaimers = runtime.memory.reclaimers

    def worth() -> dict[str, int | None]:
        found = {offer.name: offer.bytes for offer in reclaimers.offers() if offer.name in names}
        return {name: size for name, size in found.items() if size is None or size > 0}

    def estimate() -> int | None:
        sizes = [size for size in worth().values() if size is not None]
        return sum(sizes) if sizes else None

    def needed() -> str:
        found = worth()
        if not found:
            return _("there is nothing of the kind")
        known = sum(size or 0 for size in found.values())
        if None not in found.values() and known < LEAST_BYTES:
            return _("it would give back less than {size:.0f} MB").format(size=LEAST_BYTES / MEGABYTE)
        return ""

    def take() -> str:
        told = []
        for each in [each for each in names if each in worth()]:
            with suppress(NotFoundError):
                told.append(f"{reclaimers.label(each)}: {_one(runtime, each)}")
        trim_heap()
        return "; ".join(told) or _("there was nothing of the kind any more")

    cool_down = runtime.settings.budget_cool_down_seconds
    return BudgetAction(
        name, level, label, explanation, take, estimate=estimate, skip_reason=needed, cool_down=cool_down, timeout=5.0
    )


def _one(runtime: Runtime, name: str) -> str:
    """Release one thing; one that fails does not keep the others from it."""
    try:
        return runtime.memory.reclaimers.release(SERVICE, name).detail
    except NotFoundError:
        raise
    except MillpondError as error:
        return error.message


def _no_documents(runtime: Runtime) -> str:
    return "" if runtime.ingestion.job_store.unfinished() else _("no documents are being taken in")


def _slow_down(runtime: Runtime) -> str:
    runtime.admission.slow_down(PAUSE_SECONDS)
    return _("one document at a time, with a rest of {seconds:.0f} s after each").format(seconds=PAUSE_SECONDS)


def _full_speed(runtime: Runtime) -> str:
    runtime.admission.slow_down(0.0)
    runtime.ingestion.wake()
    return _("at full speed again")


def _close_doors(runtime: Runtime) -> str:
    hint = _("Nothing was stored. Try again in a few minutes; questions of up to 500 characters are answered.")
    reason = _("Millpond is short of memory and takes in no {what} at present, so that it need not be ended.")
    admission = runtime.admission
    admission.close(Gate.UPLOADS, BY, reason.format(what=_("new files")), hint)
    admission.close(Gate.LONG_QUESTIONS, BY, reason.format(what=_("long questions")), hint)
    return _("new files and long questions are refused, with a reason")


def _open_doors(runtime: Runtime) -> str:
    for door in (Gate.UPLOADS, Gate.LONG_QUESTIONS):
        runtime.admission.open(door, BY)
    return _("files and long questions are taken in again")


def _restart(runtime: Runtime) -> BudgetAction:
    last = LastRestart(runtime.preferences, runtime.clock.time, runtime.settings.budget_restart_minutes * 60)

    def needed() -> str:
        governor = runtime.governor
        state = governor.state()
        if state.floor >= state.budget.reached(BudgetLevel.SOFT):
            return _("Millpond takes {floor:,.0f} MB when it has just started; that is over the soft watermark").format(
                floor=state.floor / MEGABYTE
            )
        if state.used - state.rss > state.rss - state.floor:
            return _("others in the container use more than a restart would give back")
        return last.too_soon() or runtime.restarts.refusal()

    def take() -> str:
        reason = _("the memory budget: every other step was taken, and the hard watermark is still passed")
        runtime.restarts.request(SERVICE, reason)
        last.note()
        return _("work under way may end; then Millpond starts again")

    return BudgetAction(
        "restart",
        BudgetLevel.HARD,
        _("Restart"),
        _("Work under way comes to its end first. Only where that helps, and not again soon."),
        run=take,
        estimate=_gain(runtime),
        skip_reason=needed,
        cool_down=max(60.0, runtime.settings.budget_cool_down_seconds),
        patience=runtime.settings.budget_restart_after_seconds,
    )


def _gain(runtime: Runtime) -> Callable[[], int | None]:
    def gain() -> int | None:
        floor = runtime.governor.budget().floor
        return max(0, rss_bytes() - floor) if floor else None

    return gain


class LastRestart:
    """Reads the preferences once and writes them with each restart. Times in seconds."""

    def __init__(self, preferences: Preferences, now: Callable[[], float], least_seconds: float) -> None:
        self._preferences = preferences
        self._now = now
        self._least = least_seconds
        self._time = float((preferences.get(_KEY) or {}).get("time", 0.0))

    def too_soon(self) -> str:
        """Return why it is too soon for another one, "" if it is not."""
        passed = self._now() - self._time
        if passed >= self._least:
            return ""
        return _("the budget asked for a restart {minutes:.0f} minutes ago, and it does so once in {least:.0f}").format(
            minutes=passed / 60, least=self._least / 60
        )

    def note(self) -> None:
        """Note that a restart was asked for now.

        Raises:
            StorageError: it could not be written; within this process it is known all the same.
        """
        self._time = self._now()
        self._preferences.set(_KEY, {"time": self._time})
