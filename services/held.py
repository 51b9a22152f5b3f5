"""What every room reports in the same words: the big things that it holds in RAM."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class HeldResource:
    """Something big that the process holds once: what it is, how many bytes, how often it was loaded."""

    name: str
    detail: str
    bytes: int
    loads: int
    attributes: dict[str, str] = field(default_factory=dict)
