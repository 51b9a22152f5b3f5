"""Reads uploaded files in child processes with limits. Importing this costs next to nothing: the helper does it too."""

from services.knowledge.parsing.pool import ParserPool as ParserPool
from services.knowledge.parsing.wire import ParsedFile as ParsedFile

__all__ = ["ParsedFile", "ParserPool"]
