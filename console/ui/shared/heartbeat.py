"""Heartbeat of live fragments: ticks in the browser, only while its tab is visible.

`st.fragment(run_every=...)` keeps ticking in a hidden tab and cannot change its period. This component reruns the
fragment that contains it every `seconds`; 0 stops it. A tab that becomes visible ticks at once.

Streamlit runs only one fragment for simultaneous changes, so each beat has a small random delay: fragments with the
same period would otherwise starve each other. `console.ui.streamlit.internals` recognises beats by the end of their
key and lets clicks pass before them.
"""

from __future__ import annotations

import streamlit as st

from console.ui.streamlit.internals import TICK

# New `data` may call the function before, after or without the last call's clean-up: each call stops the element's
# timer, and cleans up only its own.
_JS = """
export default function ({ data, parentElement, setTriggerValue }) {
  parentElement.heartbeat?.()
  const delay = Math.random() * 250
  const beat = () => setTimeout(() => {
    if (!document.hidden && parentElement.isConnected) setTriggerValue("beat", Date.now())
  }, delay)
  const timer = data.seconds > 0 ? setInterval(beat, data.seconds * 1000) : undefined
  if (timer) document.addEventListener("visibilitychange", beat)
  const stop = () => {
    clearInterval(timer)
    document.removeEventListener("visibilitychange", beat)
  }
  parentElement.heartbeat = stop
  return stop
}
"""

_component = st.components.v2.component("millpond_heartbeat", js=_JS)


def heartbeat(key: str, seconds: float) -> None:
    """Rerun the surrounding fragment every `seconds`; 0 stops that."""
    _component(key=f"{key}{TICK}", data={"seconds": seconds}, height=1, on_beat_change=_ignore)


def _ignore() -> None:
    """Do nothing: Streamlit reruns the fragment because the component's value changed."""
