from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from services.core.actor import SERVICE, Actor, Role
from services.core.errors import BadInputError, ConflictError, ForbiddenError, UnavailableError
from services.core.events import EventKind
from services.memory.gc_experiment.analysis import Figure, analyze
from services.memory.gc_experiment.types import ExperimentPhase, Setting
from services.memory.gc_experiment.workload import CONTROL, OFF, REFERENCE
from tests.events import RecordingEventSink
from tests.memory.gc_experiment.environments import (
    MB,
    children,
    fake_environment,
    finished,
    gone,
    leftovers,
    running_experiments,
)
from tests.servers import ROOT, environment, eventually

ALICE = Actor("alice", Role.ADMIN)
OFTEN = Setting((50, 2, 2))


def test_real_children_measure_each_setting_in_each_round(tmp_path: Path) -> None:
    """Every setting gets a child in every round, under its own thresholds; the result is kept, nothing else is left."""
    sink = RecordingEventSink()
    with running_experiments(tmp_path, fake_environment(), sink) as experiments:
        assert experiments.state().phase is ExperimentPhase.NEVER
        experiments.start(ALICE, [OFTEN, OFF], rounds=3, operations=60)
        finished(experiments)
        state = experiments.state()
        assert state.phase is ExperimentPhase.FINISHED, state.message
        result = experiments.result(state.result)
    assert result.settings == (REFERENCE, OFTEN, OFF)
    assert sorted((run.setting, run.round) for run in result.runs) == [(s, r) for s in range(3) for r in range(3)]
    assert result.counts == {"page": 60}
    assert result.actor == "alice"
    for run in result.runs:
        figures = run.figures
        assert figures.operations == 60
        assert figures.peak >= figures.base > MB
        assert figures.peak >= figures.floor > MB
        assert 0 <= figures.p50 <= figures.p95 <= figures.p99 <= figures.longest <= figures.pause + 1e-9
    assert all(run.collections == (0, 0, 0) and run.pause == 0 for run in result.figures_of(2))
    pairs = zip(result.figures_of(1), result.figures_of(0), strict=True)
    assert all(often.collections[0] > 5 * usual.collections[0] for often, usual in pairs)
    assert leftovers(tmp_path) == []
    assert children() == []
    kinds = {(actor, kind) for actor, kind, _detail in sink.actions}
    assert kinds == {("alice", EventKind.EXPERIMENT)}
    assert [detail.split(":")[0] for _actor, _kind, detail in sink.actions] == [
        "threshold experiment started",
        "threshold experiment finished",
    ]
    with running_experiments(tmp_path, fake_environment()) as again:
        assert again.state().phase is ExperimentPhase.FINISHED
        assert again.results() == [result]


def test_a_planted_difference_is_found_and_equal_settings_do_the_same(tmp_path: Path) -> None:
    """Collecting 14 times as often is seen to cost pauses; the control collects exactly as often as the defaults."""
    with running_experiments(tmp_path, fake_environment(size=400)) as experiments:
        experiments.start(SERVICE, [OFTEN, CONTROL], rounds=4, operations=100)
        finished(experiments)
        result = experiments.result(experiments.state().result)
    often, _control = analyze(result).ratios
    assert often[Figure.PAUSE].significant
    assert often[Figure.PAUSE].value > 1.2
    same = [[run.collections for run in result.figures_of(place)] for place in (0, 2)]
    assert same[0] == same[1]


def test_cancelled_in_the_midst_nothing_is_left(tmp_path: Path) -> None:
    """Cancel kills the child that hangs and the helper that it has started, and removes its folder."""
    sink = RecordingEventSink()
    with running_experiments(tmp_path, fake_environment("hang"), sink) as experiments:
        experiments.start(ALICE, [OFF], rounds=3, operations=200)
        eventually(lambda: children() and children()[0].children(), what="a child with a helper")
        child = children()[0]
        helper = child.children()[0]
        assert leftovers(tmp_path)
        state = experiments.cancel(ALICE)
        assert state.phase is ExperimentPhase.CANCELLED
        assert "cancelled" in state.message
        assert not child.is_running()
        eventually(lambda: gone(helper), what="the helper's end")
        assert leftovers(tmp_path) == []
        assert experiments.results() == []
        assert "cancelled" in sink.actions[-1][2]
        assert "threshold-experiment" not in {thread.name for thread in threading.enumerate()}
        experiments.start(ALICE, [OFF], rounds=3, operations=10)  # the next one may begin at once


def test_a_killed_service_takes_its_child_along(tmp_path: Path) -> None:
    """After SIGKILL of the parent the child ends by itself, and the next start removes its folder."""
    code = (
        "import sys; from pathlib import Path; from services.core.actor import SERVICE\n"
        "from tests.memory.gc_experiment.environments import *\n"
        "from services.memory.gc_experiment.workload import OFF\n"
        f"with running_experiments(Path({str(tmp_path)!r}), fake_environment('hang')) as experiments:\n"
        "    experiments.start(SERVICE, [OFF], 3, 200)\n"
        "    eventually(lambda: children() and children()[0].children())\n"
        "    print(children()[0].pid, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        eventually(lambda: gone(child), what="the child's end")
    assert leftovers(tmp_path)
    with running_experiments(tmp_path, fake_environment()):
        assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("how", "words"), [("crash", "the planted defect"), ("killed", "SIGABRT"), ("grow", "over its limit")]
)
def test_a_child_that_fails_is_reported_as_such(tmp_path: Path, how: str, words: str) -> None:
    """A crash, a signal and too much memory end the experiment with what happened and where; nothing is left."""
    sink = RecordingEventSink()
    with running_experiments(tmp_path, fake_environment(how, expected=150 * MB), sink) as experiments:
        experiments.start(ALICE, [OFF], rounds=3, operations=200)
        finished(experiments)
        state = experiments.state()
        assert state.phase is ExperimentPhase.FAILED
        assert words in state.message
        assert "(Defaults, round 1)" in state.message
        assert state.hint
        assert state.result == ""
        assert leftovers(tmp_path) == []
        assert children() == []
        assert "failed" in sink.actions[-1][2]


def test_what_may_not_begin_does_not(tmp_path: Path) -> None:
    """Visitors, a second one, no room, nothing to compare, too few rounds: refused in words, and no process starts."""
    with running_experiments(tmp_path, fake_environment("hang")) as experiments:
        with pytest.raises(ForbiddenError, match="administrator"):
            experiments.start(Actor("bob", Role.USER), [OFF])
        with pytest.raises(BadInputError, match="compare"):
            experiments.start(ALICE, [REFERENCE])
        with pytest.raises(BadInputError, match="rounds"):
            experiments.start(ALICE, [OFF], rounds=1000)
        with pytest.raises(BadInputError, match="2 rounds are too few"):
            experiments.start(ALICE, [OFF], rounds=2)
        with pytest.raises(BadInputError, match="threshold"):
            experiments.start(ALICE, [Setting((0, 1, 1))])
        assert not experiments.running
        experiments.start(ALICE, [OFF], rounds=3, operations=50)
        with pytest.raises(ConflictError, match="already"):
            experiments.start(ALICE, [OFF])
        with pytest.raises(ForbiddenError, match="administrator"):
            experiments.cancel(Actor("bob", Role.USER))
        assert experiments.running
        experiments.close()
        with pytest.raises(UnavailableError, match="closed"):
            experiments.start(ALICE, [OFF])
    sink = RecordingEventSink()
    with running_experiments(tmp_path, fake_environment(expected=600 * MB, headroom=150 * MB), sink) as crowded:
        with pytest.raises(UnavailableError, match="needs about 600 MB, and the memory budget leaves 150 MB"):
            crowded.start(ALICE, [OFF])
        assert crowded.state().phase is ExperimentPhase.NEVER
        assert "refused" in sink.actions[-1][2]
