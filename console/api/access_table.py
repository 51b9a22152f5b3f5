"""The table of who may do what, from the declarations beside routes, paths, pages and messages of pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from fastapi import FastAPI

from console.api.middleware.paths import PATHS, PathRule
from console.api.permissions import declared_routes, require_rules
from console.rules import Rule
from services.core.actor import Role


@dataclass(frozen=True, slots=True)
class RouteRule:
    """A route of the API: its method, its path as the API's description has it, and who may."""

    method: str
    path: str
    summary: str
    rule: Rule


def route_rules(api: FastAPI) -> Iterator[RouteRule]:
    """Yield the rules of the API's routes.

    Raises:
        RuntimeError: a route has none.
    """
    require_rules(api)
    for route in declared_routes(api):
        if route.rule is not None and not route.hidden:
            for method in route.methods:
                yield RouteRule(method, route.path, route.summary, route.rule)


def markdown(kind: str, rules: Iterable[tuple[str, Rule]]) -> str:
    """Return the table of (what is asked for, rule); `kind` is the first column's heading."""
    lines = [f"| {kind} | nobody | {' | '.join(Role)} |", f"| --- | --- |{' --- |' * len(Role)}"]
    for name, rule in rules:
        cells = ["yes" if rule.everybody else "", *("yes" if rule.allows(role) else "" for role in Role)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def routes_table(api: FastAPI) -> str:
    """Return the table of the API's routes."""
    return markdown("route", ((f"`{each.method} {each.path}` {each.summary}", each.rule) for each in route_rules(api)))


def paths_table() -> str:
    """Return the table of what lies outside of the API."""
    return markdown("path", ((f"`{_shown(each)}` {each.what}", each.rule) for each in PATHS))


def names_table(kind: str, rules: Mapping[str, Rule]) -> str:
    """Return the table of pages, or of the messages that a page sends."""
    return markdown(kind, ((f"`{name}`", rule) for name, rule in rules.items()))


def _shown(rule: PathRule) -> str:
    rest = "…" if rule.path.endswith("/") else ""
    return " ".join([*sorted(rule.methods), f"{rule.path}{rest}"])
