"""The jobs that wait, as the database has them, in the order in which they may start: by turns, lanes and age."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from services.knowledge.ingestion.lanes import Lane, lane_of
from services.knowledge.ingestion.turns import Flow, FlowTurns
from services.knowledge.store.jobs import JobStore, QueuedJob

# Jobs of a flow that are passed over, because their content is being processed, before the next flow is tried.
_MOST_PASSED_OVER = 100
# Flows of an owner that take turns: of those who hand in thousands of files one by one, the first ones.
_MOST_FLOWS = 50
# A job uses at least so much of its owner's turn, in seconds.
LEAST_SECONDS = 0.02

MayStart = Callable[[Flow, Lane, QueuedJob], bool]


class WaitingJobs:
    """A copy of the queue; `refresh` brings it up to date. A job that it has may be gone. Not thread-safe."""

    def __init__(self, jobs: JobStore) -> None:
        self._jobs = jobs
        # By owner, then lane, flow and id, each in the order of ids.
        self._owners: dict[str, dict[Lane, dict[Flow, dict[int, QueuedJob]]]] = {}
        self._count = 0
        self._newest = 0
        self._turns = FlowTurns()

    def refresh(self, *, anew: bool) -> None:
        """Read the jobs that were queued since, or all `anew`: some may be queued again, and others be gone."""
        if anew:
            self._owners.clear()
            self._count = self._newest = 0
        for job in self._jobs.queued(self._newest):
            lanes = self._owners.setdefault(job.owner, {})
            flows = lanes.setdefault(lane_of(job), {})
            flows.setdefault(Flow(job.owner, job.batch), {})[job.id] = job
            self._newest = job.id
            self._count += 1

    @property
    def outdated(self) -> bool:
        """Whether the queue has another number of jobs."""
        return self._count != self._jobs.count_queued()

    def next(self, may_start: MayStart) -> tuple[Flow, Lane, QueuedJob] | None:
        """Return the job whose turn it is of those that may start."""
        found: dict[Flow, tuple[Lane, QueuedJob]] = {}
        for lanes in self._owners.values():
            found.update(_firsts(lanes, may_start))
        if not found:
            return None
        flow = self._turns.next(sorted(found, key=lambda flow: found[flow][1].id))
        return flow, *found[flow]

    def remove(self, flow: Flow, lane: Lane, job: QueuedJob) -> None:
        """Record that a job no longer waits."""
        self._turns.charge(flow, LEAST_SECONDS)
        lanes = self._owners[flow.owner]
        del lanes[lane][flow][job.id]
        self._count -= 1
        if not lanes[lane][flow]:
            del lanes[lane][flow]
        if not any(lanes.values()):
            del self._owners[flow.owner]

    def charge(self, flow: Flow, seconds: float) -> None:
        """Record that a file of a flow was parsed for so long."""
        self._turns.charge(flow, seconds)


def _firsts(
    lanes: dict[Lane, dict[Flow, dict[int, QueuedJob]]], may_start: MayStart
) -> dict[Flow, tuple[Lane, QueuedJob]]:
    """Return the oldest job of each flow of an owner that may start; those that wait behind only where no other may."""
    found: dict[Flow, tuple[Lane, QueuedJob]] = {}
    for lane in Lane:
        if lane is Lane.BEHIND and found:
            break
        for flow, jobs in islice(lanes.get(lane, {}).items(), _MOST_FLOWS):
            for job in islice(jobs.values(), _MOST_PASSED_OVER):
                if may_start(flow, lane, job):
                    if flow not in found or job.id < found[flow][1].id:
                        found[flow] = lane, job
                    break
    return found
