"""A stand-in until the detector words its own verdicts."""

from __future__ import annotations

from services.memory.leaks.types import State, Verdict

MB = 2**20


def headline(verdict: Verdict) -> str:
    """Return the verdict in one sentence."""
    level = f"{verdict.level / MB:.0f} MB"
    if verdict.state is State.UNKNOWN or verdict.slope_per_hour is None:
        return f"{verdict.state.value.replace('_', ' ')}: {level}"
    return f"{verdict.state.value}: {level}, {verdict.slope_per_hour / MB:+.1f} MB/h"


def brief(verdict: Verdict) -> str:
    """Return the verdict in a few words."""
    return verdict.state.value.replace("_", " ").capitalize()
