"""Effects of actions on memory, as figures and a chart of the owners that changed; releasing memory by reclaimer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import streamlit as st

from console.ui.charts.chart import EncodedChart, draw_chart
from console.ui.charts.figure import Chart, Json, axis, base_layout
from console.ui.charts.palette import owner_colour, owner_name
from console.ui.current_actor import disabled_reason, page_actor
from console.ui.error_boundary import attempt, guarded, rerun_for_notices
from console.ui.session_state import GCForm, notify, state_of
from console.ui.shared.formatting import ago, count, escape, milliseconds, signed_size, size
from console.ui.shared.heartbeat import heartbeat
from services.app.container import Services
from services.core.actor import Actor
from services.core.i18n import _, labelled
from services.core.machine import MEGABYTE
from services.core.memory_report import Owner
from services.memory.reclaimers import Effect, ReclaimOffer

_PERIOD_SECONDS = 3.0
_SHOWN = 6
LEAST_BYTES = 64 * 1024  # smaller changes come from the two measurements themselves
_MOST = 8
_RECLAIM_PERIOD_SECONDS = 5.0


@st.fragment
@guarded
def effects_view(services: Services) -> None:
    """Draw the latest effects, the newest in full, and keep them up to date."""
    found = services.memory.effects.latest()[:_SHOWN]
    st.subheader(_("Effects"), anchor=False)
    if not found:
        st.info(
            _("Collect, freeze or release something: the effect on memory is measured and shown here."),
            title=_("No actions yet"),
            icon=":material/balance:",
        )
    else:
        st.caption(_("Measured on the whole process: includes what others did at the same time."))
    for place, effect in enumerate(found):
        if place == 0:
            with st.container(border=True, gap="small", key="effect-newest"):
                st.markdown(f"**{_headline(services, effect)}**")
                effect_view(effect, key=_key(effect))
        else:
            with st.expander(_headline(services, effect), key=f"effect-{_key(effect)}"):
                effect_view(effect, key=_key(effect))
    heartbeat("collector-effects", _PERIOD_SECONDS)


def effect_view(effect: Effect, *, key: str) -> None:
    """Draw one effect: its figures, and the owners that changed as bars to either side of zero."""
    figures = [
        (_("Pause") if effect.found is not None else _("Duration"), milliseconds(1000 * effect.seconds)),
        (_("RSS before"), size(effect.rss_before_bytes)),
        (_("RSS after"), size(effect.rss_after_bytes)),
        (_("Change"), rss_change(effect)),
    ]
    if effect.found is not None:
        figures.append((_("Objects found"), count(effect.found)))
    if effect.uncollectable is not None:
        figures.append((_("Uncollectable"), count(effect.uncollectable)))
    with st.grid(len(figures), min_column_width=136, gap="small"):
        for label, value in figures:
            st.metric(label, value, border=True)
    chart = effect_chart(effect)
    if chart is None:
        st.caption(_("No owner changed by more than the measurement itself does."))
    else:
        st.caption(_("Owners that changed, MB before → after: decrease to the left, increase to the right"))
        draw_chart(EncodedChart.of(chart), key=f"chart-{key}", titled=False)


def effect_title(services: Services, effect: Effect) -> str:
    """Return the name of the action."""
    own = {"collect": _("Collect"), "freeze": _("Freeze"), "unfreeze": _("Unfreeze")}
    return own.get(effect.action) or services.memory.reclaimers.label(effect.action)


def effect_summary(services: Services, effect: Effect) -> str:
    """Return the action and its outcome as plain text."""
    return labelled(effect_title(services, effect), effect.detail)


def rss_change(effect: Effect) -> str:
    """Return the change of RSS with sign and unit."""
    grown = effect.rss_after_bytes - effect.rss_before_bytes
    return signed_size(grown) if grown else _("unchanged")


def effect_age(services: Services, effect: Effect) -> str:
    """Return how long ago the effect was, by the clock of the memory services."""
    now = datetime.fromtimestamp(services.memory.clock.time(), UTC)
    return ago(datetime.fromtimestamp(effect.time, UTC), now)


def act_and_show(services: Services, place: str, action: Callable[[Actor], Effect]) -> None:
    """Do something in a button's callback; `outcome_view` draws its effect at `place`."""
    outcomes = state_of(GCForm).outcomes
    outcomes.pop(place, None)  # of an action that fails now, the one before is no outcome
    effect = attempt(action, page_actor(services))
    if effect is not None:
        outcomes[place] = effect.time
        notify(effect_summary(services, effect))  # draws the whole page, with the effect on it


def outcome_view(services: Services, place: str) -> None:
    """Draw in one line what this tab last did with the buttons at `place`, as long as the effect is kept."""
    time = state_of(GCForm).outcomes.get(place)
    effect = next((each for each in services.memory.effects.latest() if each.time == time), None)
    if effect is None:
        return
    parts = [effect_summary(services, effect)]
    if effect.found is not None:
        parts.append(_("pause {time}").format(time=milliseconds(1000 * effect.seconds)))
    parts += [_("RSS {change}").format(change=rss_change(effect)), effect_age(services, effect)]
    with st.container(key=f"outcome-{place}"):
        st.caption(f":green[:material/check_circle:] {escape(' · '.join(parts))}")


def _headline(services: Services, effect: Effect) -> str:
    rss = _("RSS {change}").format(change=rss_change(effect))
    return " · ".join(
        escape(part) for part in (effect_summary(services, effect), rss, effect_age(services, effect), effect.actor)
    )


def _key(effect: Effect) -> str:
    return f"{effect.action}-{effect.time:.3f}"


def owner_changes(effect: Effect) -> list[tuple[Owner, int, int]]:
    """Return the owners that changed with their bytes before and after, largest change first."""
    owners = {*effect.owners_before, *effect.owners_after}
    found = [(owner, effect.owners_before.get(owner, 0), effect.owners_after.get(owner, 0)) for owner in owners]
    changed = [entry for entry in found if abs(entry[2] - entry[1]) >= LEAST_BYTES]
    return sorted(changed, key=lambda entry: (-abs(entry[2] - entry[1]), entry[0]))[:_MOST]


def effect_chart(effect: Effect) -> Chart | None:
    """Return the owners that changed as bars to either side of zero; None if none changed by `LEAST_BYTES`."""
    found = owner_changes(effect)
    if not found:
        return None
    deltas = [(after - before) / MEGABYTE for _owner, before, after in found]
    reach = max(abs(delta) for delta in deltas)
    layout = base_layout(44 + 24 * len(found))
    # Room for the labels at the ends of the bars.
    low, high = min(0.0, *deltas), max(0.0, *deltas)
    room = 0.9 * reach
    layout["xaxis"] = {
        **axis(_("MB")),
        "range": [
            round(low - (room if low < 0 else 0.05 * reach), 3),
            round(high + (room if high > 0 else 0.05 * reach), 3),
        ],
        "fixedrange": True,
        "zeroline": True,
        "zerolinecolor": "$quiet",
        "nticks": 6,
    }
    layout["yaxis"] = {**axis(), "autorange": "reversed", "showgrid": False, "fixedrange": True}
    layout["showlegend"] = False
    layout["bargap"] = 0.25
    layout["margin"] = {"l": 8, "r": 8, "t": 4, "b": 28}
    bars: Json = {
        "type": "bar",
        "orientation": "h",
        "x": [round(delta, 3) for delta in deltas],
        "y": [f"{owner_name(owner)}, {_megabytes(before)} → {_megabytes(after)}" for owner, before, after in found],
        "text": [f"{delta:+,.{1 if reach >= 1 else 2}f}".replace("-", "−") for delta in deltas],
        "textposition": "outside",
        "cliponaxis": False,
        "hovertemplate": "%{y} MB<extra></extra>",
        "marker": {"color": [owner_colour(owner) for owner, _before, _after in found]},
    }
    return Chart("effect", _("Owners that changed"), (bars,), layout, subject=f"{effect.time}")


def _megabytes(size: int) -> str:
    return f"{size / MEGABYTE:,.1f}"


@st.fragment
@guarded
def reclaim_view(services: Services) -> None:
    """Draw what can be released, with estimate and cost, and keep it up to date."""
    rerun_for_notices()
    offers = services.memory.reclaimers.available()
    last = {effect.action: effect for effect in reversed(services.memory.effects.latest())}
    st.caption(_("The memory budget releases the same things automatically when needed."))
    if not offers:
        st.info(_("Nothing can be released at present."), icon=":material/compress:")
    why = disabled_reason(services)
    offered = {_place(offer.name) for offer in offers}
    for place in state_of(GCForm).outcomes:
        if place.startswith(_place("")) and place not in offered:
            outcome_view(services, place)  # what was released is not there any more
    for offer in offers:
        with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"reclaim-{offer.name}"):
            with st.container(gap="xxsmall", width="stretch"):
                st.markdown(f"**{escape(offer.label)}** · {_would(offer)}")
                st.caption(_words(services, offer, last.get(offer.name)))
                outcome_view(services, _place(offer.name))
            st.button(
                _("Release"),
                key=f"reclaim-{offer.name}-do",
                icon=":material/compress:",
                disabled=why is not None,
                help=why,
                on_click=_release,
                args=(services, offer.name),
            )
    heartbeat("collector-reclaim", _RECLAIM_PERIOD_SECONDS)


def _release(services: Services, name: str) -> None:
    act_and_show(services, _place(name), lambda actor: services.memory.reclaimers.release(actor, name))


def _place(name: str) -> str:
    """Return the place of a reclaimer's button."""
    return f"release-{name}"


def _would(offer: ReclaimOffer) -> str:
    if offer.bytes is None:
        return _("would free: unknown")
    if offer.bytes <= 0:
        return _("would free nothing now")
    return _("would free {size}").format(size=escape(size(offer.bytes)))


def _words(services: Services, offer: ReclaimOffer, effect: Effect | None) -> str:
    parts = [escape(offer.cost)]
    if effect is not None and effect.time != state_of(GCForm).outcomes.get(_place(offer.name)):
        parts.append(
            _("Last time, {when}: {outcome}; RSS {change}.").format(
                when=effect_age(services, effect),
                outcome=escape(effect.detail),
                change=escape(rss_change(effect)),
            )
        )
    return "  \n".join(parts)
