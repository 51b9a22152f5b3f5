"""What is asked of the Redis server: each call within a time, each answer within a size.

Entries of a kind are strings with an expiry. Beside them stand an ordered set (by last use) and a hash (bytes of each,
and of all), by which the least recently used are removed when a kind has more than its budget; scripts keep the three
in step. A server that evicts by itself (`maxmemory-policy`) may take any of them: an entry that is not in the order is
found, and expires; one that is in the order alone is dropped there when its turn comes.

`redis` is imported here alone, and this module where the cache is configured: 10 MB.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from redis import Redis
from redis.backoff import NoBackoff
from redis.connection import Connection, ConnectionPool, SSLConnection
from redis.exceptions import AuthenticationError, OutOfMemoryError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from services.core.errors import StorageError, UnavailableError
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.core.storage_settings import CacheLocation

# What an entry costs beside its sealed value: its name and those in order and hash. The script adds an eighth of the
# value, by which the allocator rounds up (Redis 7.0 on 64 bits, measured with values of 100 to 8000 bytes).
ENTRY_BYTES = 480
LARGEST_VALUE = 2 * MEGABYTE  # sealed
LARGEST_ANSWER = 16 * MEGABYTE  # of many values at once
# What the client makes of an answer that no server of Redis gives.
_NONSENSE = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
_SCANNED = 1000
_AT_ONCE = 256

_READ = """
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local found, room = {}, tonumber(ARGV[3])
for at = 4, #ARGV do
  local key, value, left = ARGV[1] .. ARGV[at], false, 0
  local size = redis.pcall('STRLEN', key)
  if type(size) == 'number' and size > 0 and size <= tonumber(ARGV[2]) and size <= room then
    left = redis.call('PTTL', key)
    if left > 0 then
      value = redis.call('GET', key)
      room = room - size
      redis.pcall('ZADD', KEYS[1], 'XX', now, ARGV[at])
    end
  end
  found[#found + 1] = value
  found[#found + 1] = left
end
return found
"""
_WRITE = """
local order, sizes, prefix = KEYS[1], KEYS[2], ARGV[1]
local budget, ttl, overhead = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local function drop(name)
  redis.call('UNLINK', prefix .. name)
  redis.call('ZREM', order, name)
  local size = tonumber(redis.call('HGET', sizes, name) or '0')
  redis.call('HDEL', sizes, name)
  return redis.call('HINCRBY', sizes, '', -size)
end
for at = 5, #ARGV, 2 do
  local name, value = ARGV[at], ARGV[at + 1]
  local before = tonumber(redis.call('HGET', sizes, name) or '0')
  redis.call('SET', prefix .. name, value, 'PX', ttl)
  redis.call('ZADD', order, now, name)
  local size = #value + math.floor(#value / 8) + overhead
  redis.call('HSET', sizes, name, size)
  redis.call('HINCRBY', sizes, '', size - before)
end
for _, name in ipairs(redis.call('ZRANGE', order, 0, 31)) do
  if redis.call('EXISTS', prefix .. name) == 0 then drop(name) end
end
local total = tonumber(redis.call('HGET', sizes, '') or '0')
while total > budget do
  local oldest = redis.call('ZRANGE', order, 0, 0)[1]
  if not oldest then
    redis.call('DEL', sizes)
    total = 0
    break
  end
  total = drop(oldest)
end
redis.call('PEXPIRE', order, 2 * ttl)
redis.call('PEXPIRE', sizes, 2 * ttl)
return total
"""
_ERASE = """
for _, name in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do redis.call('UNLINK', ARGV[1] .. name) end
redis.call('UNLINK', KEYS[1], KEYS[2])
"""


class RedisClient:
    """Connections to a server, made when they are needed; thread-safe.

    Every method raises UnavailableError where the server does not answer in time, refuses, or answers nonsense, and
    StorageError where it has no room: nothing was kept then.
    """

    def __init__(self, location: CacheLocation, prefix: str, *, seconds: float, connections: int) -> None:
        """Connect to nothing yet; `seconds`: longest time until a connection is made, and for each whole answer."""
        options: dict[str, Any] = {
            "host": location.host,
            "port": location.port,
            "db": location.database,
            "username": location.user or None,
            "password": location.password or None,
            "socket_timeout": seconds,
            "socket_connect_timeout": seconds,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            "driver_info": None,  # a question less for each connection
        }
        if location.tls:
            options |= {"connection_class": _SealedConnection, "ssl_ca_certs": location.ca or None}
        else:
            options["connection_class"] = _BoundedConnection
        self._prefix = prefix
        self._redis = Redis(connection_pool=ConnectionPool(max_connections=connections, **options))
        self._read, self._write, self._erase = map(self._redis.register_script, (_READ, _WRITE, _ERASE))

    def close(self) -> None:
        """Close the connections."""
        self._redis.connection_pool.disconnect()

    def ping(self) -> None:
        """Return if the server answers."""
        with _errors_as_ours():
            self._redis.ping()

    def read(self, kind: str, names: Sequence[str]) -> list[tuple[bytes, float] | None]:
        """Return each value with the seconds that are left of it, None where there is none."""
        with _errors_as_ours():
            answer: Any = self._read(
                keys=[self._index(kind)[0]],
                args=[self._entries(kind), LARGEST_VALUE, LARGEST_ANSWER - MEGABYTE, *names],
            )
        if not isinstance(answer, list) or len(answer) != 2 * len(names):
            raise _nonsense()
        found: list[tuple[bytes, float] | None] = []
        for value, left in zip(answer[::2], answer[1::2], strict=True):
            known = isinstance(value, bytes) and isinstance(left, int) and left > 0
            found.append((value, left / 1000) if known else None)
        return found

    def write(self, kind: str, values: Mapping[str, bytes], *, budget: int, seconds: float) -> int:
        """Keep sealed values for `seconds`; return the bytes of all of that kind, at most `budget`."""
        pairs = [part for name, value in values.items() for part in (name, value)]
        with _errors_as_ours():
            total: Any = self._write(
                keys=list(self._index(kind)),
                args=[self._entries(kind), budget, max(1, int(seconds * 1000)), ENTRY_BYTES, *pairs],
            )
        if not isinstance(total, int):
            raise _nonsense()
        return total

    def erase(self, kind: str, *, thoroughly: bool) -> None:
        """Remove all entries of a kind; `thoroughly`: search the server for those that are in no order, too."""
        entries = self._entries(kind)
        with _errors_as_ours():
            self._erase(keys=list(self._index(kind)), args=[entries])
            if not thoroughly:
                return
            cursor = 0
            while True:
                step: Any = self._redis.scan(cursor, match=f"{entries}*", count=_SCANNED)
                cursor, found = step
                for at in range(0, len(found), _AT_ONCE):
                    self._redis.unlink(*found[at : at + _AT_ONCE])
                if not cursor:
                    return

    def mark(self) -> str:
        """Return what `set_mark` was given last, "" for nothing."""
        with _errors_as_ours():
            found: Any = self._redis.get(f"{self._prefix}mark")
        return found.decode(errors="replace")[:100] if isinstance(found, bytes) else ""

    def set_mark(self, mark: str, *, seconds: float) -> None:
        """Keep a mark for `seconds`."""
        with _errors_as_ours():
            self._redis.set(f"{self._prefix}mark", mark, px=max(1, int(seconds * 1000)))

    def _entries(self, kind: str) -> str:
        return f"{self._prefix}{kind}:"

    def _index(self, kind: str) -> tuple[str, str]:
        return f"{self._prefix}order-of-{kind}", f"{self._prefix}sizes-of-{kind}"


class _PlainSocket(Protocol):
    """What the client uses of a socket, with TLS or without."""

    def recv(self, size: int, /) -> bytes: ...
    def sendall(self, data: bytes, /) -> None: ...
    def settimeout(self, seconds: float | None, /) -> None: ...
    def shutdown(self, how: int, /) -> None: ...
    def close(self) -> None: ...
    def getsockname(self) -> Any: ...


class _BoundedSocket:
    """A socket by which what follows a request may take a time and a number of bytes, all together.

    The limit of a plain socket is for each piece: a server that sends one now and then would hold a question up.
    """

    def __init__(self, plain: _PlainSocket, seconds: float) -> None:
        self._plain = plain
        self._seconds = seconds
        self._begin()

    def sendall(self, data: bytes) -> None:
        self._plain.settimeout(self._seconds)
        self._plain.sendall(data)
        self._begin()

    def recv(self, size: int) -> bytes:
        if self._waiting:
            left = self._until - time.monotonic()
            if left <= 0:
                raise TimeoutError("no whole answer in time")
            self._plain.settimeout(min(left, self._seconds))
        data = self._plain.recv(size)
        self._room -= len(data)
        if self._room < 0:
            raise OSError("an answer of more bytes than can be")
        return data

    def settimeout(self, seconds: float | None) -> None:
        self._waiting = seconds != 0  # the client asks in between whether a connection is still there
        self._plain.settimeout(seconds)

    def shutdown(self, how: int) -> None:
        self._plain.shutdown(how)

    def close(self) -> None:
        self._plain.close()

    def getsockname(self) -> Any:
        return self._plain.getsockname()

    def _begin(self) -> None:
        self._until = time.monotonic() + self._seconds
        self._room = LARGEST_ANSWER
        self._waiting = True


class _BoundedConnection(Connection):
    def _connect(self) -> Any:
        plain: _PlainSocket = super()._connect()  # type: ignore[no-untyped-call] # the client's own place for other sockets
        return _BoundedSocket(plain, float(self.socket_timeout or 0))


class _SealedConnection(SSLConnection):
    def _connect(self) -> Any:
        plain: _PlainSocket = super()._connect()  # type: ignore[no-untyped-call] # the client's own place for other sockets
        return _BoundedSocket(plain, float(self.socket_timeout or 0))


@contextmanager
def _errors_as_ours() -> Iterator[None]:
    try:
        yield
    except OutOfMemoryError as error:
        raise StorageError(_("The shared cache (Redis) has no room; nothing was kept there.")) from error
    except (RedisTimeoutError, TimeoutError) as error:
        raise UnavailableError(_("The shared cache (Redis) does not answer in time.")) from error
    except AuthenticationError as error:
        raise UnavailableError(_("The shared cache (Redis) refuses the password.")) from error
    except (RedisConnectionError, OSError) as error:
        raise UnavailableError(_("The shared cache (Redis) cannot be reached.")) from error
    except (RedisError, *_NONSENSE) as error:
        raise _nonsense() from error


def _nonsense() -> UnavailableError:
    return UnavailableError(_("The shared cache (Redis) answers with errors."))
