"""Garbage collection: what the collector does, and what can be given back."""

from __future__ import annotations

from console.components.collector_view import collector_view
from console.resources import runtime

collector_view(runtime())
