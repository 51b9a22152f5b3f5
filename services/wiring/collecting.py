"""Has the service collect by its own policy, and tells the policy what big work has ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from services.memory.collector.policy import CollectionPolicy
from services.reporting import EventKind
from services.texts import _

if TYPE_CHECKING:
    from services.runtime import Runtime

POLICY_SECONDS = 1.0
# A delete of so many documents at once is big work.
MANY_DOCUMENTS = 20


def collect_by_policy(runtime: Runtime) -> None:
    """Give `runtime` its policy and have it look each second."""
    requests = runtime.requests
    runtime.policy = CollectionPolicy(
        runtime.clock,
        lambda: requests.busy,
        runtime.reporter,
        runtime.memory.collector,
        done=lambda: requests.total,
    )

    def check() -> None:
        if runtime.ready:
            runtime.policy.check()

    runtime.memory.add_work(check, POLICY_SECONDS, watching=False)


def hear(runtime: Runtime, kind: EventKind, figures: Mapping[str, float]) -> None:
    """Listen to the events for the end of big work; ingestion says so itself, once its queue is empty."""
    if "policy" not in vars(runtime):
        return
    if kind is EventKind.DELETION and figures.get("documents", 0) >= MANY_DOCUMENTS:
        runtime.policy.big_work_done(_("many documents deleted"))
    elif kind is EventKind.MODEL and figures.get("unloaded"):
        runtime.policy.big_work_done(_("chat model unloaded"), certain=True)
