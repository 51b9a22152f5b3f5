"""Watches for libraries that are imported while the process serves, and reports each with what it costs.

Rare and heavy libraries are imported when they are first used. Their memory stays, so a step in the curve remains that
nobody would understand without a mark beside it. Seen are the modules that Python knows of, compared once a second:
nothing is hooked into the imports themselves.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from services.core.events import EventKind, EventSink
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.memory.process import rss_bytes

# A few small modules are no library that one would look for in the curve.
LEAST_MODULES = 20
LEAST_BYTES = 3 * MEGABYTE
# An import has ended when no module has come for so many seconds; what goes on for longer is reported in parts.
QUIET_SECONDS = 1.0
LONGEST_SECONDS = 30.0
_NAMED = 3
# Parts of Python itself and what stands for several libraries are no names to go by.
_UNNAMED = sys.stdlib_module_names | {"services", "console", "pages", "cython_runtime"}


@dataclass(slots=True)
class _Import:
    """An import that is going on: the modules and RSS before it, when it was first and last seen to bring any."""

    modules: frozenset[str]
    rss: int
    began: float
    last: float


class LateImports:
    """Reports an event for what was imported since the last one; to be called about once a second.

    A source of the sampler without columns: its thread waits for nobody, so the moments are right.

    `purposes` says by top-level package what a library is for; the first one in its order that was imported is named.
    """

    def __init__(
        self,
        reporter: EventSink,
        purposes: Mapping[str, str] | None = None,
        *,
        modules: Callable[[], Mapping[str, object]] = lambda: sys.modules,
        rss: Callable[[], int] = rss_bytes,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reporter = reporter
        self._purposes = purposes or {}
        self._modules = modules
        self._read_rss = rss
        self._now = now
        self._checked = now()
        self._count = len(modules())
        self._known = frozenset(dict(modules()))
        self._rss = rss()
        self._going_on: _Import | None = None

    def __call__(self) -> Mapping[str, float]:
        """Look whether modules came, report an import that has ended, and add nothing to the sample."""
        self.check()
        return {}

    def check(self) -> None:
        """Look whether modules came, and report an import that has ended."""
        count, rss, now = len(self._modules()), self._read_rss(), self._now()
        going_on = self._going_on
        if count != self._count:
            if going_on is None:
                self._going_on = going_on = _Import(self._known, self._rss, self._checked, now)
            going_on.last = now
        self._count, self._rss, self._checked = count, rss, now
        if going_on is None or (now - going_on.last < QUIET_SECONDS and now - going_on.began < LONGEST_SECONDS):
            return
        self._going_on = None
        self._known = frozenset(dict(self._modules()))  # a copy at once: other threads import
        self._report(self._known - going_on.modules, going_on, rss)

    def _report(self, modules: frozenset[str], going_on: _Import, rss: int) -> None:
        grown = rss - going_on.rss
        if len(modules) < LEAST_MODULES and grown < LEAST_BYTES:
            return
        sizes = Counter(name.partition(".")[0] for name in modules)
        packages = [
            name
            for name, _modules in sizes.most_common()
            if name not in _UNNAMED and not name.startswith("_") and "__mypyc" not in name
        ]
        if not packages:
            return
        purpose = next((words for name, words in self._purposes.items() if name in sizes), "")
        names = ", ".join(packages[:_NAMED])
        text = (
            _("{purpose} ({names})").format(purpose=purpose, names=names)
            if purpose
            else _("library loaded: {names}").format(names=names)
        )
        self._reporter.event(
            EventKind.LIBRARY,
            text,
            modules=float(len(modules)),
            bytes=float(max(0, grown)),
            rss_before=float(going_on.rss),
            seconds=self._now() - going_on.began,
        )
