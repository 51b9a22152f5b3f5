"""httpx transports for requests to addresses that people set: resolve, check, and connect to what was checked.

Imported late, as httpx is. Redirects are up to the client and never followed (`follow_redirects=False`).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.request import getproxies, proxy_bypass

import anyio
import httpcore
import httpx

from services.core.machine import MEGABYTE
from services.core.networks import parsed_address
from services.core.outgoing import OutgoingRules, resolve

if TYPE_CHECKING:
    import ssl

    SocketOptions = Iterable[Any] | None

# Of one connection. An answer of a chat model is a thousandth of it.
MOST_BYTES = 64 * MEGABYTE
_ADDRESSES_TRIED = 4
_ACCEPTED = b"accept-encoding"


class OutgoingTransport(httpx.BaseTransport):
    """A transport that goes where the rules allow.

    Args:
        url: the address that it is for; its scheme and host decide about TLS and a proxy of the environment.
        rules: where requests may go.
        seconds: for everything over one connection, also for an answer that comes a byte at a time, each within the
            client's limit for a step; 0: no limit beyond that one.
    """

    def __init__(self, url: str, rules: OutgoingRules, *, seconds: float = 0.0) -> None:
        self._rules = rules
        self._proxy = _proxy_of(url)
        if self._proxy is not None:
            self._pool: httpcore.ConnectionPool = httpcore.HTTPProxy(
                str(self._proxy.url),
                proxy_auth=self._proxy.raw_auth,
                ssl_context=_context(url),
                network_backend=_CheckedNetwork(None, _Limits(seconds)),
            )
        else:
            self._pool = httpcore.ConnectionPool(
                ssl_context=_context(url), network_backend=_CheckedNetwork(rules, _Limits(seconds))
            )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request.

        Raises:
            RefusedAddressError: it may not go there.
            httpx.TransportError: it did not arrive.
        """
        if self._proxy is not None:
            host, port = _destination(request)
            self._rules.require(host, port, _resolved(host, port))
        with _httpx_errors():
            response = self._pool.handle_request(_core_request(request))
        body = _AnswerBody(response.stream)
        if _is_packed(response.headers):
            body.close()
            raise httpx.RemoteProtocolError("the answer is packed, which was not asked for")
        return httpx.Response(response.status, headers=response.headers, stream=body, extensions=response.extensions)

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()


class AsyncOutgoingTransport(httpx.AsyncBaseTransport):
    """The same for asynchronous clients; without `keep_alive` no connection outlives its response."""

    def __init__(self, url: str, rules: OutgoingRules, *, keep_alive: bool = True) -> None:
        self._rules = rules
        self._proxy = _proxy_of(url)
        kept = None if keep_alive else 0
        if self._proxy is not None:
            self._pool: httpcore.AsyncConnectionPool = httpcore.AsyncHTTPProxy(
                str(self._proxy.url),
                proxy_auth=self._proxy.raw_auth,
                ssl_context=_context(url),
                max_keepalive_connections=kept,
                network_backend=_AsyncCheckedNetwork(None, _Limits(0.0)),
            )
        else:
            self._pool = httpcore.AsyncConnectionPool(
                ssl_context=_context(url),
                max_keepalive_connections=kept,
                network_backend=_AsyncCheckedNetwork(rules, _Limits(0.0)),
            )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; raises as the other transport does."""
        if self._proxy is not None:
            host, port = _destination(request)
            self._rules.require(host, port, await anyio.to_thread.run_sync(_resolved, host, port))
        with _httpx_errors():
            response = await self._pool.handle_async_request(_core_request(request))
        body = _AsyncAnswerBody(response.stream)
        if _is_packed(response.headers):
            await body.aclose()
            raise httpx.RemoteProtocolError("the answer is packed, which was not asked for")
        return httpx.Response(response.status, headers=response.headers, stream=body, extensions=response.extensions)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._pool.aclose()


class _Limits:
    """What one connection may take."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def begin(self) -> _Spent:
        return _Spent(time.monotonic() + self._seconds if self._seconds else float("inf"))


class _Spent:
    """What one connection has taken."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._left = MOST_BYTES

    def seconds(self, timeout: float | None) -> float | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the answer takes too long")
        return timeout if left == float("inf") else min(left, left if timeout is None else timeout)

    def received(self, data: bytes) -> bytes:
        self._left -= len(data)
        if self._left < 0:
            raise httpcore.RemoteProtocolError("the answer is too long")
        return data


class _CheckedNetwork(httpcore.NetworkBackend):
    """Connects within limits to where the rules allow; without rules to the environment's proxy, wherever it is."""

    def __init__(self, rules: OutgoingRules | None, limits: _Limits) -> None:
        self._rules = rules
        self._limits = limits
        self._network = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: SocketOptions = None,
    ) -> httpcore.NetworkStream:
        spent = self._limits.begin()
        if self._rules is not None:
            self._rules.require(host, port, [])  # a name that nobody shall ask for need not be looked up
        try:
            addresses = resolve(host, port)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        if self._rules is not None:
            self._rules.require(host, port, addresses)
        failure: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for address in addresses[:_ADDRESSES_TRIED]:
            try:
                return _Stream(
                    self._network.connect_tcp(address, port, spent.seconds(timeout), local_address, socket_options),
                    spent,
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore.ConnectError("no address")

    def sleep(self, seconds: float) -> None:
        self._network.sleep(seconds)


class _AsyncCheckedNetwork(httpcore.AsyncNetworkBackend):
    def __init__(self, rules: OutgoingRules | None, limits: _Limits) -> None:
        self._rules = rules
        self._limits = limits
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: SocketOptions = None,
    ) -> httpcore.AsyncNetworkStream:
        spent = self._limits.begin()
        if self._rules is not None:
            self._rules.require(host, port, [])  # a name that nobody shall ask for need not be looked up
        try:
            with anyio.fail_after(timeout):
                addresses = await anyio.to_thread.run_sync(resolve, host, port, abandon_on_cancel=True)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout("the name is looked up too slowly") from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        if self._rules is not None:
            self._rules.require(host, port, addresses)
        failure: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for address in addresses[:_ADDRESSES_TRIED]:
            try:
                return _AsyncStream(
                    await self._network.connect_tcp(address, port, timeout, local_address, socket_options), spent
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore.ConnectError("no address")

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, spent: _Spent) -> None:
        self._stream = stream
        self._spent = spent

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._spent.received(self._stream.read(max_bytes, self._spent.seconds(timeout)))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._spent.seconds(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, self._spent.seconds(timeout)), self._spent)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _AsyncStream(httpcore.AsyncNetworkStream):
    def __init__(self, stream: httpcore.AsyncNetworkStream, spent: _Spent) -> None:
        self._stream = stream
        self._spent = spent

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._spent.received(await self._stream.read(max_bytes, timeout))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return _AsyncStream(await self._stream.start_tls(ssl_context, server_hostname, timeout), self._spent)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _AnswerBody(httpx.SyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        with _httpx_errors():
            yield from self._stream

    def close(self) -> None:
        self._stream.close()


class _AsyncAnswerBody(httpx.AsyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _httpx_errors():
            async for part in self._stream:
                yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


@contextmanager
def _httpx_errors() -> Iterator[None]:
    """Raise httpx's exception of the same name for one of httpcore."""
    try:
        yield
    except (
        httpcore.TimeoutException,
        httpcore.NetworkError,
        httpcore.ProtocolError,
        httpcore.ProxyError,
        httpcore.UnsupportedProtocol,
    ) as error:
        kind: type[httpx.TransportError] = getattr(httpx, type(error).__name__, httpx.TransportError)
        raise kind(str(error)) from error


def _core_request(request: httpx.Request) -> httpcore.Request:
    url = request.url
    return httpcore.Request(
        request.method,
        httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
        # What is packed could unpack to anything.
        headers=[pair for pair in request.headers.raw if pair[0].lower() != _ACCEPTED] + [(_ACCEPTED, b"identity")],
        content=request.stream,
        extensions=request.extensions,
    )


def _is_packed(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(name.lower() == b"content-encoding" and value.strip().lower() != b"identity" for name, value in headers)


def _destination(request: httpx.Request) -> tuple[str, int]:
    return request.url.host, request.url.port or (443 if request.url.scheme == "https" else 80)


def _resolved(host: str, port: int) -> list[str]:
    """Return where a name leads as seen from here; a proxy may know more."""
    try:
        return resolve(host, port)
    except OSError:
        return []


def _context(url: str) -> ssl.SSLContext | None:
    """Return the context for TLS, which takes 20 ms and 1 MB to build; plain HTTP needs none."""
    return httpx.create_ssl_context() if url.startswith("https:") else None


def _proxy_of(url: str) -> httpx.Proxy | None:
    """Return the proxy that the environment names for an address, if any; to this machine there never is one."""
    parts = httpx.URL(url)
    address = parsed_address(parts.host)
    if parts.host == "localhost" or (address is not None and address.is_loopback) or proxy_bypass(parts.host):
        return None
    proxies = getproxies()
    found = proxies.get(parts.scheme) or proxies.get("all") or ""
    return httpx.Proxy(found) if found.startswith(("http://", "https://")) else None
