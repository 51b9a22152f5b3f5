"""Refusals of wrong tokens are held back before they are sent, so that guessing takes long; no thread waits."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import NoReturn

from services.core.access import WrongTokenError
from services.core.errors import BusyError, UnauthorizedError
from services.core.i18n import _
from services.core.throttle import address_key

MOST = 64  # held back at once; each takes a connection and a few kilobytes
MOST_OF_ADDRESS = 8


class SlowRefusals:
    """Counts the refusals that are held back now. To be used in one event loop."""

    def __init__(self) -> None:
        self._waiting: Counter[str] = Counter()

    async def refuse(self, error: WrongTokenError | UnauthorizedError, address: str) -> NoReturn:
        """Raise `error` when its time is over.

        Raises:
            WrongTokenError, UnauthorizedError: always, unless too many from that address, or in all, wait already.
            BusyError: they do.
        """
        if error.seconds > 0:
            key = address_key(address)
            if self._waiting[key] >= MOST_OF_ADDRESS or self._waiting.total() >= MOST:
                raise BusyError(
                    _("Too many wrong tokens were given; nothing was changed."),
                    _("The right token is accepted at any time."),
                ) from error
            self._waiting[key] += 1
            try:
                await asyncio.sleep(error.seconds)
            finally:
                self._waiting[key] -= 1
                if not self._waiting[key]:
                    del self._waiting[key]
        raise error
