"""Caches with a byte budget, in two levels: this process's memory, then one that several processes share.

Shared by every room: it knows none of them. Only bytes are kept, JSON or the bytes of arrays, never a pickle.
"""

from services.caching.byte_cache import ByteCache
from services.caching.caches import Caches
from services.caching.keys import key_of, normalised
from services.caching.types import CacheFigures, SharedLevel

__all__ = ["ByteCache", "CacheFigures", "Caches", "SharedLevel", "key_of", "normalised"]
