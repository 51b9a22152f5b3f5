"""Liveness and readiness: whether the process is alive and whether each component can do its work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from services.core.errors import MillpondError
from services.core.i18n import _

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Check:
    """The state of one component, with `detail` in words; a `warning` does not keep the process from being ready."""

    name: str
    ok: bool
    detail: str = ""
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Readiness:
    """The checks of all components; ready means every one of them is."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every component can do its work."""
        return all(check.ok for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """Return the body of the response to `/readyz`."""
        return {
            "status": "ready" if self.ok else "not ready",
            "checks": {
                check.name: {"ok": check.ok, "detail": check.detail, "warning": check.warning} for check in self.checks
            },
        }


def component_name(name: str) -> str:
    """Return what a component is called on a page; clients know it by its own name."""
    names = {
        "store": _("store"),
        "index": _("index"),
        "embedder": _("embedder"),
        "chat model": _("chat model"),
        "disk": _("disk"),
        "accepting": _("accepting"),
        "database": _("database"),
        "certificate": _("certificate"),
        "backup": _("backup"),
        "original files": _("original files"),
    }
    return names.get(name, name)


class Health:
    """Runs health checks. `checks` by the name of the component, in the order in which they are shown."""

    def __init__(self, checks: Mapping[str, Callable[[], Check]]) -> None:
        self._checks = dict(checks)

    def set_check(self, name: str, check: Callable[[], Check]) -> None:
        """Have `check` say how the part `name` is from now on; a new part comes last."""
        self._checks[name] = check

    def live(self) -> Check:
        """Return at once: a process that responds is alive."""
        return Check("process", ok=True, detail=_("alive"))

    def ready(self) -> Readiness:
        """Run all checks; one that fails never hides the others."""
        return Readiness(tuple(_run(name, check) for name, check in list(self._checks.items())))


def _run(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except MillpondError as error:
        return Check(name, ok=False, detail=error.message)
    except Exception:
        log.exception("health check failed", check=name)
        return Check(name, ok=False, detail=_("The check failed; the log says why."))
