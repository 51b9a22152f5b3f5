"""What a client of the API may ask of the chat model beside its question, and which of it needs what."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# What steers the choice of words only: where a model does not take it, it is left out and the answer says so.
SAMPLING = ("temperature", "top_p", "seed", "frequency_penalty", "presence_penalty")
# What changes the form of an answer: where a model does not take it, the request is refused.
FORM = ("response_format", "tools", "tool_choice")


@dataclass(frozen=True, slots=True)
class AnswerOptions:
    """Options of one answer; the default leaves everything to the settings.

    `sampling` has values by the names of `SAMPLING`. `tools`, `tool_choice` and `response_format` are as in OpenAI's
    protocol. `tail` holds the messages behind the question: calls of tools and what the tools returned.
    """

    instructions: str = ""
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    sampling: tuple[tuple[str, float | int], ...] = ()
    response_format: Mapping[str, Any] | None = None
    tools: Sequence[Mapping[str, Any]] = ()
    tool_choice: str | Mapping[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    tail: Sequence[Mapping[str, Any]] = ()

    @property
    def needs_model(self) -> tuple[str, ...]:
        """The parameters that only a chat model can fulfil, by their names."""
        names = (("response_format", self.structured), ("tools", bool(self.tools)), ("messages", bool(self.tail)))
        return tuple(name for name, used in names if used)

    @property
    def structured(self) -> bool:
        """Whether the answer is JSON, not prose."""
        return self.response_format is not None

    @property
    def cacheable(self) -> bool:
        """Whether the same request may be answered from the cache."""
        return not self.tools and not self.tail

    def cache_key(self) -> str:
        """Return what an answer depends on, as text."""
        return json.dumps(
            [self.instructions, self.max_tokens, self.stop, self.sampling, self.response_format],
            sort_keys=True,
            default=dict,
        )


DEFAULT_OPTIONS = AnswerOptions()
