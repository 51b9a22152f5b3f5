from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from pydantic import SecretStr
from streamlit.testing.v1 import AppTest

from console.ui.gc.effects import effect_chart
from console.ui.session_state import Key
from services.app.container import Services
from services.chat.types import BackendChoice
from services.core.actor import SERVICE, Actor, Role
from services.core.errors import ForbiddenError
from services.core.machine import MEGABYTE
from services.core.memory_report import Owner
from services.knowledge.types import RetrievalSettings
from services.memory.gc.types import GCSettings
from services.memory.reclaimers import Effect
from tests.pages.conftest import open_page
from tests.pages.test_memory import words

USER = Actor("visitor", Role.USER)
JOINER = "\u2060"  # between the colon and the digits of a time, so that no icon is read there


@pytest.fixture
def acting(services: Services) -> Iterator[Services]:
    """The services; their collector is as it was afterwards."""
    before = services.memory.collector.settings
    yield services
    collector = services.memory.collector
    if collector.trial is not None:
        collector.revert(SERVICE)
    if collector.settings != before:
        collector.change(SERVICE, before)
    if collector.state().frozen:
        collector.unfreeze(SERVICE)


@pytest.fixture
def look_only(acting: Services, monkeypatch: pytest.MonkeyPatch) -> Services:
    """The services, whose visitors may only look."""
    settings = acting.settings.model_copy(update={"visitors": "user", "admin_token": SecretStr("open-sesame")})
    monkeypatch.setattr(acting.access, "_settings", settings)
    return acting


def labels(app: AppTest) -> set[str]:
    return {metric.label for metric in app.metric}


def outcomes(app: AppTest) -> list[str]:
    """Return what is said beside the buttons of what they did."""
    said = [re.sub(r"\\(.)", r"\1", str(caption.value)) for caption in app.caption]
    return [text for text in said if text.startswith(":green[:material/check_circle:]")]


def enabled(app: AppTest) -> set[str]:
    """Return the keys of the buttons that can be clicked."""
    return {str(button.key) for button in app.button if not button.disabled}


def test_state_and_figures(app: AppTest, acting: Services) -> None:
    """The page says in one sentence how the collector stands, with its figures, defaults and rules."""
    open_page(app, "collector")
    assert not app.exception
    assert not app.error
    assert "Python collects automatically at its default thresholds" in words(app)
    assert "Thresholds in Python" in words(app)
    assert labels(app) >= {"Collections", "Pauses since the start", "Tracked objects", "Frozen", "Uncollectable"}
    assert sum(label.startswith(("Pauses, last ", "p95, last ")) for label in labels(app)) == 2
    default = acting.memory.collector.state().defaults[0]
    assert any(field.label == f"Threshold 0 (default {default:,})" for field in app.number_input)


def test_a_trial_is_shown_kept_and_gone_back_from(app: AppTest, acting: Services) -> None:
    """A change could not be tried, its countdown not be seen, or Keep and Revert do nothing."""
    collector = acting.memory.collector
    before = collector.settings
    open_page(app, "collector")
    field = next(field for field in app.number_input if field.label.startswith("Threshold 0"))
    field.set_value(4321).run()
    app.number_input(key=Key.COLLECTOR_MINUTES).set_value(7).run()
    app.button(key=Key.COLLECTOR_TRY).click().run()
    assert collector.settings.thresholds[0] == 4321
    assert collector.trial is not None
    assert re.search(r"reverts automatically in [67]:\d\d", words(app).replace(JOINER, ""))
    assert labels(app) >= {"p95 before", "p95 in the trial"}
    app.button(key=Key.TRIAL_BACK).click().run()
    assert collector.settings == before
    assert "The last trial" in words(app)
    field = next(field for field in app.number_input if field.label.startswith("Threshold 0"))
    assert field.value == before.thresholds[0], "the form shows what is no longer in force"

    field.set_value(4321).run()
    app.button(key=Key.COLLECTOR_TRY).click().run()
    app.button(key=Key.TRIAL_KEEP).click().run()
    assert collector.trial is None
    assert collector.state().kept == replace(before, thresholds=(4321, *before.thresholds[1:]))


def test_off_is_said(app: AppTest, acting: Services) -> None:
    """A collector that is off would look like one that works."""
    open_page(app, "collector")
    next(toggle for toggle in app.toggle if toggle.label == "Collect automatically").set_value(False).run()
    app.button(key=Key.COLLECTOR_KEEP).click().run()
    assert acting.memory.collector.settings.off
    assert "Automatic collection is off" in words(app)


def test_nonsense_is_told(app: AppTest, acting: Services) -> None:
    """A threshold that cannot be used would break the page, or be used."""
    before = acting.memory.collector.settings
    open_page(app, "collector")
    next(field for field in app.number_input if field.label.startswith("Threshold 0")).set_value(3).run()
    app.button(key=Key.COLLECTOR_TRY).click().run()
    app.run()
    assert not app.exception
    assert acting.memory.collector.settings == before


def test_collecting_shows_what_it_did(app: AppTest, acting: Services) -> None:
    """Pause, objects found, uncollectable and RSS before and after are on the page after a click, and who did it."""
    open_page(app, "collector")
    app.button(key="collector-collect-2").click().run()
    assert labels(app) >= {"Pause", "RSS before", "RSS after", "Change", "Objects found", "Uncollectable"}
    assert re.search(r"Collect: generation 2: .* · just now · local", words(app))
    assert any("Collect: generation 2" in said and "pause" in said for said in outcomes(app))
    app.button(key="collector-freeze").click().run()
    assert acting.memory.collector.state().frozen > 10_000
    assert "objects are frozen now" in words(app)
    assert len(outcomes(app)) == 2, "what was done at one place hides what was done at another"
    app.button(key="collector-unfreeze").click().run()
    assert acting.memory.collector.state().frozen == 0
    assert len(app.expander) >= 2, "the effects before the newest are gone"


def test_nothing_was_done_yet(app: AppTest, acting: Services) -> None:
    """Before the first action the page says what will be there, in place of an empty heading."""
    acting.memory.effects._effects.clear()
    open_page(app, "collector")
    assert any("No actions yet" in str(info.proto) for info in app.info)


def test_giving_back(app: AppTest, acting: Services) -> None:
    """Each offer has its words and its button; after a click it says what it freed."""
    acting.retriever.search(SERVICE, "What is new?")
    open_page(app, "collector", view="reclaim")
    written = words(app)
    assert "**Search caches** · would free" in written
    assert "**Cached pages of the database** · would free: unknown" in written
    app.button(key="reclaim-search_caches-do").click().run()
    (said,) = outcomes(app)
    assert re.search(r"Search caches: .* · RSS .* · just now", said)
    assert acting.memory.effects.latest()[0].action == "search_caches"


def test_pauses_and_who_waited(app: AppTest, acting: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both charts and the list are there; before the first pause the page says so."""
    acting.memory.collector.collect(SERVICE, 2)
    open_page(app, "collector", view="pauses")
    assert not app.error
    drawn = [chart.proto.bytes for chart in app.get("bidi_component")]
    assert any(b'"title":"Pauses over time"' in data for data in drawn)
    assert any(b'"title":"Distribution of pauses"' in data for data in drawn)
    assert "Delayed" in str(app.dataframe[0].proto)
    monkeypatch.setattr(acting.memory.pauses, "recent", lambda *_limit: [])
    app.run()
    assert any("No pauses yet" in str(info.proto) for info in app.info)


def test_the_experiment_has_its_part(app: AppTest, acting: Services) -> None:
    """The part would be missing, or fail to draw."""
    open_page(app, "collector", view="experiment")
    assert not app.exception
    assert not app.error


def test_who_may_only_look(app: AppTest, look_only: Services) -> None:
    """Buttons that act are disabled for a visitor, until the right token is given; a wrong one changes nothing."""
    open_page(app, "collector")
    acting_buttons = {"collector-collect-0", "collector-collect-2", "collector-freeze", Key.COLLECTOR_TRY.value}
    assert not enabled(app) & acting_buttons
    app.text_input(key=Key.ACCESS_TOKEN).set_value("wrong")
    app.button(key=Key.ACCESS_ENTER).click().run()
    assert any("This is not the administrator" in str(error.proto) for error in app.error)
    assert not enabled(app) & acting_buttons
    app.text_input(key=Key.ACCESS_TOKEN).set_value("open-sesame")
    app.button(key=Key.ACCESS_ENTER).click().run()
    assert enabled(app) >= acting_buttons
    app.button(key="collector-collect-0").click().run()
    assert look_only.memory.effects.latest()[0].actor == "administrator"
    app.button(key=Key.ACCESS_LEAVE).click().run()
    assert not enabled(app) & acting_buttons


@pytest.mark.parametrize(
    ("page", "key"),
    [("memory", Key.MEMORY_TRIM), ("retrieval", Key.RETRIEVAL_APPLY)],
)
def test_other_pages_buttons_too(app: AppTest, look_only: Services, page: str, key: str) -> None:
    """What acts elsewhere would look as if a visitor could use it."""
    open_page(app, page)
    assert next(button for button in app.button if button.key == key).disabled


def test_allocations_are_for_operators(app: AppTest, look_only: Services) -> None:
    """They show what others work with: a visitor would see it."""
    open_page(app, "allocations")
    assert not {Key.TRACING_START, Key.TRACING_STOP} & {button.key for button in app.button}
    app.text_input(key=Key.ACCESS_TOKEN).set_value("open-sesame")
    app.button(key=Key.ACCESS_ENTER).click().run()
    assert Key.TRACING_START in {button.key for button in app.button}


ACTS: dict[str, Callable[[Services, Actor], object]] = {
    "change": lambda r, who: r.memory.collector.change(who, GCSettings((5000, 10, 10))),
    "keep": lambda r, who: r.memory.collector.keep(who),
    "revert": lambda r, who: r.memory.collector.revert(who),
    "freeze": lambda r, who: r.memory.collector.freeze(who),
    "unfreeze": lambda r, who: r.memory.collector.unfreeze(who),
    "collect": lambda r, who: r.memory.collector.collect(who, 0),
    "release": lambda r, who: r.memory.reclaimers.release(who, "heap"),
    "trim": lambda r, who: r.memory.detector.trim_and_recheck(who),
    "trace": lambda r, who: r.memory.tracer.start(who, 1, 1),
    "end tracing": lambda r, who: r.memory.tracer.stop(who),
    "take": lambda r, who: r.memory.tracer.take_snapshot(who),
    "delete": lambda r, who: r.memory.tracer.delete(who, "x"),
    "repeat": lambda r, who: r.memory.objects.repeats.start(who, "collect", 4),
    "repeat by hand": lambda r, who: r.memory.objects.repeats.start_by_hand(who, 4),
    "mark": lambda r, who: r.memory.objects.repeats.mark(who),
    "cancel": lambda r, who: r.memory.objects.repeats.cancel(who),
    "chat model": lambda r, who: r.models.choose(who, BackendChoice()),
    "retrieval": lambda r, who: r.library.apply_retrieval_settings(who, RetrievalSettings(k=3)),
    "restart": lambda r, who: r.restarts.request(who, "for fun"),
}


@pytest.mark.parametrize("act", ACTS)
def test_services_refuse_by_themselves(acting: Services, act: str) -> None:
    """The check would be in pages and routes alone, where another caller goes around it."""
    before = acting.memory.collector.settings, acting.models.choice(), acting.library.retrieval_settings()
    with pytest.raises(ForbiddenError, match=r"only an (operator or an )?administrator"):
        ACTS[act](acting, USER)
    after = acting.memory.collector.settings, acting.models.choice(), acting.library.retrieval_settings()
    assert before == after
    assert not acting.memory.tracer.status().on
    assert acting.memory.objects.repeats.progress is None


def test_bars_of_owners_that_changed() -> None:
    """Owners that did not change would hide those that did; a loss must point to the left."""
    effect = Effect(
        "collect",
        "local",
        0.0,
        0.1,
        0,
        0,
        {Owner.PYTHON: 90 * MEGABYTE, Owner.INDEX: 5 * MEGABYTE, Owner.MEDIA: 100},
        {Owner.PYTHON: 80 * MEGABYTE, Owner.INDEX: 5 * MEGABYTE, Owner.PYTHON_FREE: 4 * MEGABYTE},
    )
    chart = effect_chart(effect)
    assert chart is not None
    assert chart.traces[0]["x"] == [-10.0, 4.0]
    assert len(chart.traces[0]["y"]) == 2
    assert chart.encoded()
    assert effect_chart(replace(effect, owners_after=effect.owners_before)) is None
