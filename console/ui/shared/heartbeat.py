"""The clock of live fragments: ticks in the browser, and only while its tab is seen.

`st.fragment(run_every=...)` keeps ticking in a hidden tab and cannot change its pace. This component sits in a fragment
and makes that fragment run again after `seconds`; 0 stops it. A tab that comes back into view ticks at once.

Streamlit runs only one fragment for changes that come at the same moment, so each beat comes with its own small delay:
several fragments of a page, ticking at the same pace, would otherwise keep one another from being drawn. That a beat
does not take a click's place is seen to by `console.ui.streamlit.internals`, by the end of the key.
"""

from __future__ import annotations

import streamlit as st

from console.ui.streamlit.internals import TICK

# New `data` may call the function again before or after the last call's clean-up, or without it: each call stops the
# timer that the element has, and cleans up only its own.
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
    """Run the surrounding fragment again every `seconds`; 0: not until something else makes it run."""
    _component(key=f"{key}{TICK}", data={"seconds": seconds}, height=1, on_beat_change=_ignore)


def _ignore() -> None:
    """The tick itself is all: Streamlit runs the fragment because the component's value changed."""
