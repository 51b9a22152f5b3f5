"""Reads uploaded files in child processes with limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.knowledge.parsing.pool import ParserPool as ParserPool
    from services.knowledge.parsing.protocol import ParsedFile

__all__ = ["ParsedFile", "ParserPool"]


def __getattr__(name: str) -> object:
    """Import the service's side when it is asked for: the helper process imports this package without it."""
    if name == "ParserPool":
        from services.knowledge.parsing.pool import ParserPool

        return ParserPool
    if name == "ParsedFile":
        from services.knowledge.parsing.protocol import ParsedFile

        return ParsedFile
    raise AttributeError(name)
