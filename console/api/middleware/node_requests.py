"""How another node of the pond says that it asks for somebody: by a token of its own scheme, and by nothing else."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import Scope

from services.nodes.node_tokens import SCHEME


def node_token(scope: Scope) -> str:
    """Return the token with which another node comes, "" if none does."""
    scheme, _space, token = Headers(scope=scope).get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == SCHEME.lower() else ""


def node_target(scope: Scope) -> str:
    """Return path and query of a request, as a node signs them."""
    query = scope.get("query_string", b"").decode("latin-1")
    return f"{scope['path']}?{query}" if query else str(scope["path"])
