"""Heartbeat of live fragments: ticks in the browser, only while its tab is visible; and a cache for what they draw, so
that twenty open tabs cost hardly more than one.

`st.fragment(run_every=...)` keeps ticking in a hidden tab and cannot change its period. This component reruns the
fragment that contains it every `seconds`; 0 stops it. A tab that becomes visible ticks at once.

Streamlit runs only one fragment for simultaneous changes, so each beat has a small random delay: fragments with the
same period would otherwise starve each other. `console.ui.streamlit.internals` recognises beats by the end of their key
and lets clicks pass before them.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import streamlit as st

from console.ui.streamlit.internals import TICK
from services.core.i18n import _, language, plural
from services.core.memory_report import MemoryReport, Owner
from services.memory.ledger.object_size import ObjectSizer

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
Value = TypeVar("Value")


def heartbeat(key: str, seconds: float) -> None:
    """Rerun the surrounding fragment every `seconds`; 0 stops that."""
    _component(key=f"{key}{TICK}", data={"seconds": seconds}, height=1, on_beat_change=_ignore)


def _ignore() -> None:
    """Do nothing: Streamlit reruns the fragment because the component's value changed."""


_caches: weakref.WeakSet[TickCache[Any]] = weakref.WeakSet()


class TickCache(Generic[Value]):
    """Values that all tabs share during a tick: the first request builds the value, concurrent ones wait for it.

    Keeps one value per key and language, and at most `most` keys of each. Ticks follow the process's clock, not that
    of the samples.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._entries: OrderedDict[tuple[str, object], _TickEntry[Value]] = OrderedDict()
        _caches.add(self)

    def get(self, key: object, seconds: float, build: Callable[[], Value]) -> Value:
        """Return the value of `key`, built at most once per tick of `seconds`."""
        with self._lock:
            reader = language()  # what is drawn has texts in it
            entry = self._entries.setdefault((reader, key), _TickEntry())
            self._entries.move_to_end((reader, key))
            alike = [each for each in self._entries if each[0] == reader]
            for oldest in alike[: -self._most]:
                del self._entries[oldest]
        with entry.lock:
            tick = int(time.monotonic() / seconds)
            if entry.value is None or entry.tick != tick:
                entry.value = build()
                entry.tick = tick
            return entry.value

    def values(self) -> list[Value]:
        """Return the values that are kept."""
        with self._lock:
            return [entry.value for entry in self._entries.values() if entry.value is not None]


class _TickEntry(Generic[Value]):
    """One value, the tick that it was built in, and the lock for building it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.tick = -1
        self.value: Value | None = None


def tick_memory() -> list[MemoryReport]:
    """Report what tabs share: the charts' data."""
    values = [value for cache in list(_caches) for value in cache.values()]
    if not values:
        return []
    detail = plural("{count} set of charts", "{count} sets of charts", len(values))
    return ObjectSizer().measure(*values).memory_reports(Owner.WATCHING, _("Charts"), detail, len(values))
