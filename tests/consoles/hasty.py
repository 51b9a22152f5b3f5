"""A console that gives closed tabs little time: `python -m tests.consoles.hasty serve ...`.

A tab may come back for a second instead of a minute, and what watches goes by a faster clock.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from tests.consoles import fast

if TYPE_CHECKING:
    from collections.abc import Callable

    import streamlit as st

    from services.core.settings import Settings

SPEED = 15.0


def main() -> None:
    """Start the real console."""
    from streamlit import config

    from console import asgi

    create_app = asgi.create_app

    def hasty(settings: Settings, *, has_room: Callable[[], bool]) -> st.App:
        app = create_app(settings, has_room=has_room)
        config.set_option("server.disconnectedSessionTTL", 1)
        return app

    asgi.create_app = hasty
    fast.start(SPEED)


if __name__ == "__main__":
    # Under its own name: as `__main__` the module would be there twice.
    import_module("tests.consoles.hasty").main()
