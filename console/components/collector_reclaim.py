"""What can be given back: what each would free, what is lost by it, one button each."""

from __future__ import annotations

import streamlit as st

from console.actors import page_actor, reason
from console.boundary import attempt, guarded, let_page_tell
from console.components.collector_effects import change, summary, when
from console.components.formatting import escape, size
from console.components.heartbeat import heartbeat
from console.state import tell
from services.memory.effects import Effect
from services.memory.reclaiming.reclaimers import Offer
from services.runtime import Runtime
from services.texts import _

_PERIOD_SECONDS = 5.0


@st.fragment
@guarded
def reclaim_view(runtime: Runtime) -> None:
    """Draw the list and keep it fresh."""
    let_page_tell()
    offers = runtime.memory.reclaimers.offers()
    last = {effect.action: effect for effect in reversed(runtime.memory.effects.latest())}
    st.caption(
        _("The memory budget takes the same steps by itself when it has to. What is not measured is called unknown.")
    )
    if not offers:
        st.info(_("Nothing can be given back at present."), icon=":material/compress:")
    why = reason(runtime)
    for offer in offers:
        with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"reclaim-{offer.name}"):
            with st.container(gap="xxsmall", width="stretch"):
                st.markdown(f"**{escape(offer.label)}** · {_would(offer)}")
                st.caption(_words(runtime, offer, last.get(offer.name)))
            st.button(
                _("Give back"),
                key=f"reclaim-{offer.name}-do",
                icon=":material/compress:",
                disabled=why is not None,
                help=why,
                on_click=_release,
                args=(runtime, offer.name),
            )
    heartbeat("collector-reclaim", _PERIOD_SECONDS)


def _release(runtime: Runtime, name: str) -> None:
    effect = attempt(runtime.memory.reclaimers.release, page_actor(runtime), name)
    if effect is not None:
        tell(summary(runtime, effect))


def _would(offer: Offer) -> str:
    if offer.bytes is None:
        return _("would free: unknown")
    if offer.bytes <= 0:
        return _("would free nothing now")
    return _("would free {size}").format(size=escape(size(offer.bytes)))


def _words(runtime: Runtime, offer: Offer, effect: Effect | None) -> str:
    parts = [escape(offer.cost)]
    if effect is not None:
        parts.append(
            _("Last time, {when}: {outcome}; RSS {change}.").format(
                when=when(runtime, effect),
                outcome=escape(effect.detail),
                change=escape(change(effect)),
            )
        )
    return "  \n".join(parts)
