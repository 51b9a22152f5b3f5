"""The clock of live fragments: ticks in the browser, and only while its tab is seen.

`st.fragment(run_every=...)` keeps ticking in a hidden tab and cannot change its pace. This component sits in a fragment
and makes that fragment run again after `seconds`; 0 stops it. A tab that comes back into view ticks at once.
"""

from __future__ import annotations

import streamlit as st

# A new `data` calls the function again without the clean-up of the last call, so the element keeps its own timer.
_JS = """
export default function ({ data, parentElement, setTriggerValue }) {
  const stop = () => {
    clearInterval(parentElement.heartbeat)
    document.removeEventListener("visibilitychange", parentElement.wake)
  }
  stop()
  const beat = () => {
    if (!document.hidden) setTriggerValue("beat", Date.now())
  }
  parentElement.wake = beat
  if (data.seconds > 0) {
    parentElement.heartbeat = setInterval(beat, data.seconds * 1000)
    document.addEventListener("visibilitychange", beat)
  }
  return stop
}
"""

_component = st.components.v2.component("millpond_heartbeat", js=_JS)


def heartbeat(key: str, seconds: float) -> None:
    """Run the surrounding fragment again every `seconds`; 0: not until something else makes it run."""
    _component(key=key, data={"seconds": seconds}, height=1, on_beat_change=_ignore)


def _ignore() -> None:
    """The tick itself is all: Streamlit runs the fragment because the component's value changed."""
