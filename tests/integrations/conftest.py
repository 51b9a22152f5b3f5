from __future__ import annotations

from tests.knowledge.conftest import harness

__all__ = ["harness"]
