"""Looks at the living objects without keeping them alive and without stopping the process."""

from __future__ import annotations

from services.memory.objects.types import Census


class Inspector:
    """Takes censuses and finds out what holds an object."""

    def census(self) -> Census:
        """Count all objects by type."""
        raise NotImplementedError
