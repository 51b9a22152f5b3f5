from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from console.ui import runtime_access
from console.ui.gc_experiment import page as form
from console.ui.gc_experiment import page as view
from console.ui.gc_experiment import result as result_view
from console.ui.gc_experiment.result import experiment_charts
from services.app.container import Services
from services.app.startup import Ready
from services.core.actor import SERVICE
from services.core.events import NullEventSink
from services.memory.clock import Clock
from services.memory.gc_experiment.result_store import ResultStore
from services.memory.gc_experiment.runner import ExperimentEnvironment, Experiments
from services.memory.gc_experiment.types import ExperimentPhase, ExperimentResult, Setting
from services.memory.gc_experiment.workload import CONTROL, OFF, REFERENCE
from tests.memory.gc_experiment.environments import MB, fake_environment
from tests.memory.gc_experiment.test_analysis import made
from tests.servers import eventually

LOW = Setting((300, 5, 5))


def script() -> None:
    from console.ui.error_boundary import show_notices
    from console.ui.gc_experiment.page import experiment_view
    from console.ui.runtime_access import ready_services

    show_notices()
    experiment_view(ready_services())


Make = Callable[..., Experiments]


@pytest.fixture
def make(services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Put experiments of another environment, over results of another time, into the pages' services."""
    built: list[Experiments] = []

    def make(lab: ExperimentEnvironment | None = None, *results: ExperimentResult) -> Experiments:
        for number, result in enumerate(results):
            ResultStore(tmp_path).add(replace(result, id=f"{number:016x}", began=float(number)))
        built.append(Experiments(tmp_path, Clock(), NullEventSink(), lab or fake_environment()))
        changed = replace(services, experiments=built[-1])
        monkeypatch.setattr(runtime_access.application(), "_state", Ready(changed))
        return built[-1]

    yield make
    for experiments in built:
        experiments.close()


def opened() -> AppTest:
    app = AppTest.from_function(script, default_timeout=60).run()
    assert not app.exception
    return app


def texts(app: AppTest) -> str:
    return " ".join(str(element.value) for element in [*app.markdown, *app.caption, *app.subheader])


def test_before_any_experiment(make: Make) -> None:
    """The page says what an experiment is and what it would take; the defaults cannot be chosen against themselves."""
    make()
    app = opened()
    assert len(app.info) == 1
    assert "24 runs, about" in texts(app).replace("\\", "")
    assert not app.dataframe
    app.multiselect(key=f"{form.SETTINGS}-0").set_value([]).run()
    assert app.button(key=form.START).disabled
    app.number_input(key="experiment-own-0").set_value(123).run()
    app.button(key=form.ADD).click().run()
    assert "(123, 10, 10)" in app.multiselect(key=f"{form.SETTINGS}-1").options


def test_too_few_rounds_are_refused_before_anything_starts(make: Make) -> None:
    """Rounds that give no answer would cost minutes; the form would refuse without a word, or begin all the same."""
    experiments = make(fake_environment("hang"))
    app = opened()
    assert app.number_input(key=form.ROUNDS_KEY).label == "Rounds (at least 3)"
    app.number_input(key=form.ROUNDS_KEY).set_value(2).run()
    assert app.button(key=form.START).disabled
    assert "2 rounds are too few" in str(app.warning[0].proto)
    app.number_input(key=form.ROUNDS_KEY).set_value(3).run()
    assert not app.button(key=form.START).disabled
    assert not app.warning
    # The click that ends the input of the field: it still shows what was there before.
    app.number_input(key=form.ROUNDS_KEY).set_value(1)
    app.button(key=form.START).click().run()
    assert "1 round is too few" in str(app.error[0].proto)
    assert not experiments.running


def test_start_watch_and_cancel(make: Make) -> None:
    """The button starts it, progress names the run, another button ends it, and the page says so."""
    experiments = make(fake_environment("hang"))
    app = opened()
    app.multiselect(key=f"{form.SETTINGS}-0").set_value([LOW]).run()
    app.button(key=form.START).click().run()
    assert experiments.running
    app.run()
    assert not any(button.key == form.START for button in app.button)
    assert "low priority" in texts(app)
    app.button(key=view.CANCEL).click().run()
    assert experiments.state().phase is ExperimentPhase.CANCELLED
    assert any("cancelled" in info.proto.title for info in app.info) or "cancelled" in str(app.info)


def test_a_failure_is_shown_with_its_reason(make: Make) -> None:
    """A crashed child has a face of its own, and no room for one is a message, not a broken page."""
    experiments = make(fake_environment("crash"))
    experiments.start(SERVICE, [OFF], 3, 50)
    eventually(lambda: not experiments.running, what="the failure")
    app = opened()
    assert len(app.error) == 1
    assert "planted defect" in str(app.error[0].proto)
    make(fake_environment(headroom=10 * MB))
    app = opened()
    app.button(key=form.START).click().run()
    assert "memory budget" in str(app.error[0].proto)


@pytest.mark.parametrize(
    ("result", "kind", "words"),
    [
        (made([{}, {"pause": 0.6}], noise=0.01, settings=(REFERENCE, LOW)), "success", "is better"),
        (made([{}, {"pause": 0.6, "peak": 1.2}], noise=0.01, settings=(REFERENCE, LOW)), "success", "is a trade"),
        (made([{}, {}], noise=0.01, settings=(REFERENCE, LOW)), "success", "No measurable difference"),
        (made([{}, {}], noise=0.6, settings=(REFERENCE, LOW)), "warning", "Too noisy"),
        (made([{}, {}], rounds=2, settings=(REFERENCE, LOW)), "warning", "Too few rounds"),
    ],
)
def test_each_answer_has_a_face(make: Make, result: ExperimentResult, kind: str, words: str) -> None:
    """Better, trade, no difference, too noisy, too few: the sentence, both tables and the way into a trial."""
    make(None, result)
    app = opened()
    assert words in str(getattr(app, kind)[0].proto).replace("\\", "")
    figures, changes = (table.value for table in app.dataframe)
    assert list(figures["Setting"]) == ["Defaults", "(300, 5, 5)"]
    assert list(changes["Setting"]) == ["(300, 5, 5)"]
    assert any(button.key == result_view.TRY for button in app.button)


def test_try_these_settings(make: Make, services: Services) -> None:
    """The button puts the collector of this service on trial, for the minutes given, and no longer."""
    make(None, made([{}, {"pause": 0.6}], noise=0.01, settings=(REFERENCE, LOW)))
    app = opened()
    app.number_input(key=result_view.TRY_MINUTES).set_value(2).run()
    app.button(key=result_view.TRY).click().run()
    trial = services.memory.collector.trial
    assert trial is not None
    assert trial.tried.thresholds == (300, 5, 5)
    assert trial.until - trial.began == pytest.approx(120)
    services.memory.collector.revert(SERVICE)


def test_older_results_can_be_chosen(make: Make) -> None:
    """With more than one result there is a choice, the newest first."""
    make(None, made([{}, {}, {}], settings=(REFERENCE, LOW, CONTROL)), made([{}, {}], settings=(REFERENCE, OFF)))
    app = opened()
    assert len(app.dataframe[0].value) == 2
    chooser = next(box for box in app.selectbox if str(box.key).startswith(result_view.CHOICE))
    chooser.set_value(f"{0:016x}").run()
    assert len(app.dataframe[0].value) == 3


def test_charts_show_every_run() -> None:
    """Each run is a point and each setting has its median; nothing that Plotly would take for mark-up is in a name."""
    result = made([{}, {"pause": 0.5}, {}], rounds=5, settings=(REFERENCE, LOW, OFF))
    charts = experiment_charts(result)
    assert [chart.name for chart in charts] == [
        "experiment-pause",
        "experiment-p99",
        "experiment-rss",
        "experiment-throughput",
    ]
    points, medians = charts[0].traces
    assert len(points["x"]) == len(points["y"]) == 15
    assert medians["y"][0] > 1.5 * medians["y"][3]
    assert len(charts[2].traces) == 4
    assert all(b"Infinity" not in chart.encoded() for chart in charts)
