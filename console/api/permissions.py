"""Who may call which route: declared beside each route by `needs`, enforced before it, collected for the table.

`docs/access.md` is made from the same declarations, and the start fails where a route has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.routing import APIRoute, iter_route_contexts

from console.api.context import Caller, Context, caller_of
from console.rules import EVERYBODY, SIGNED_IN, Rule
from services.core.actor import Permission

# In the scope: the data folder was not open yet when the request came, so nobody could be known, and it came from this
# machine.
STARTING = "millpond.starting"
# By the function that checks it: routes carry that function among their dependencies.
_RULES: dict[Any, Rule] = {}


def needs(permission: Permission, *, visitors: bool = False) -> list[Any]:
    """Return the `dependencies` of a route that needs a permission."""
    rule = Rule(permission, visitors=visitors)

    async def check(request: Request, context: Context) -> None:
        if visitors and context.application.opened is None and request.scope.get(STARTING):
            return
        actor = await caller_of(request)
        if not rule.allows_actor(actor):
            actor.require(permission, str(request.scope["route"].summary))

    return _declared(rule, check)


def signed_in() -> list[Any]:
    """Return the `dependencies` of a route that is for everybody who has signed in."""

    async def check(actor: Caller) -> None:  # noqa: ARG001 - whoever is nobody does not come as far
        return None

    return _declared(SIGNED_IN, check)


def open_to_everybody() -> list[Any]:
    """Return the `dependencies` of a route that needs nobody to sign in."""

    async def check() -> None:
        return None

    return _declared(EVERYBODY, check)


@dataclass(frozen=True, slots=True)
class DeclaredRoute:
    """A route of the API with its rule, None where nothing was declared beside it; hidden ones are not described."""

    methods: tuple[str, ...]
    path: str
    summary: str
    hidden: bool
    rule: Rule | None


def declared_routes(api: FastAPI) -> Iterator[DeclaredRoute]:
    """Yield the routes of the API; its own page has the rule of its path (`console.api.middleware.paths`)."""
    for route in iter_route_contexts(api.routes):
        path = str(route.path or "")
        if not isinstance(route.original_route, APIRoute) or path.startswith("/docs"):
            continue
        rules = (_RULES.get(each.dependency) for each in route.dependencies)
        yield DeclaredRoute(
            tuple(sorted(route.methods or ())),
            path,
            str(route.summary or ""),
            hidden=not route.include_in_schema,
            rule=next((rule for rule in rules if rule is not None), None),
        )


def require_rules(api: FastAPI) -> None:
    """Return if every route has a rule.

    Raises:
        RuntimeError: one has none; it would be open to everybody who has signed in.
    """
    bare = [f"{' '.join(route.methods)} {route.path}" for route in declared_routes(api) if route.rule is None]
    if bare:
        raise RuntimeError(f"routes without a rule (console.api.permissions.needs): {', '.join(bare)}")


def _declared(rule: Rule, check: Any) -> list[Any]:
    _RULES[check] = rule
    return [Depends(check)]
