"""TLS: the certificate for new connections, read again when its files change; open connections keep theirs."""

from __future__ import annotations

import asyncio
import ssl
import stat
import time
from asyncio import sslproto
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from services.core.errors import BadInputError
from services.core.i18n import _
from services.core.pinned_certificate import context_for_pinned
from services.operations.certificate import CertificateInfo
from services.operations.health import Check

if TYPE_CHECKING:
    from services.core.settings import Settings

log = structlog.get_logger(__name__)

CHECK_SECONDS = 2.0
# A pair is replaced one file after the other: it is said to be unusable when it still is at the second look.
PATIENT_LOOKS = 2
# For TLS 1.2, with forward secrecy and authenticated encryption; those of TLS 1.3 all are like that.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
# asyncio's is 256 KiB for each connection, which is filled with zeros and so takes real memory; a record has 16 KiB.
BUFFER_BYTES = 32_768

Signature = tuple[tuple[int, int, int, int], ...]


class TlsFiles:
    """A certificate and its key in files, and the context made of them. `refresh` runs in one thread at a time."""

    def __init__(self, certificate: Path, key: Path, *, now: Callable[[], float] = time.time) -> None:
        """Load them.

        Raises:
            BadInputError: they cannot be used; the message says why.
        """
        self._certificate = certificate
        self._key = key
        self._now = now
        self._signature = _signature(certificate, key)
        self._failures = 0
        self._said: list[str] = []
        self._stage = 0
        self.problem = ""
        self.context = _loaded(certificate, key)
        self.info = _inspected(certificate, self.context)

    @classmethod
    def of(cls, settings: Settings, *, patience: float = 0.0) -> TlsFiles | None:
        """Return the files of the settings, None without TLS; tries again for `patience` seconds: somebody may be
        replacing them.

        Raises:
            BadInputError: they cannot be used.
        """
        if not settings.tls_cert:
            if settings.tls_key:
                raise BadInputError(
                    _("There is a key for TLS but no certificate."), _("Set tls_cert (--tls-cert) as well.")
                )
            return None
        certificate = Path(settings.tls_cert)
        key = Path(settings.tls_key) if settings.tls_key else certificate
        deadline = time.monotonic() + patience
        while True:
            try:
                return cls(certificate, key)
            except BadInputError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.2)  # before the event loop, and nobody is served yet

    def check(self) -> Check:
        """Return the health check."""
        return self.info.check(self._now(), self.problem)

    def refresh(self) -> list[str]:
        """Load the files again if they have changed; return what is to be said about it as events, each thing once."""
        signature = _signature(self._certificate, self._key)
        if signature != self._signature or self._failures:
            self._reload(signature)
        stage = self.info.stage(self._now())
        if stage > self._stage:
            log.warning("certificate ends soon", ends=self.info.words(self._now()), names=list(self.info.names))
            self._say(_("certificate: {words}").format(words=self.info.words(self._now())))
        self._stage = stage
        said, self._said = self._said, []
        return said

    def is_key_open(self) -> bool:
        """Return whether other users of this machine may read the key."""
        with suppress(OSError):
            return bool(self._key.stat().st_mode & stat.S_IROTH)
        return False

    def _reload(self, signature: Signature) -> None:
        try:
            context = _loaded(self._certificate, self._key)
            info = _inspected(self._certificate, context)
        except BadInputError as error:
            self._failures += 1
            if self._failures >= PATIENT_LOOKS and not self.problem:
                self.problem = error.message
                log.warning("certificate not replaced", reason=error.message)
                self._say(_("certificate not replaced, the one before stays in use: {why}").format(why=error.message))
            return
        if self.problem or signature != self._signature:
            log.info("certificate replaced", ends=info.words(self._now()), names=list(info.names))
            self._say(_("certificate replaced: {words}").format(words=info.words(self._now())))
        self.context, self.info = context, info
        self._signature, self._failures, self.problem, self._stage = signature, 0, "", 0

    def _say(self, text: str) -> None:
        self._said.append(text)


class TlsWatch:
    """Looks after the files from the event loop; reading them is left to a thread."""

    def __init__(self, files: TlsFiles, report: Callable[[str], bool]) -> None:
        """`report` records an event and returns whether it could; what could not is tried again later."""
        self._files = files
        self._report = report
        self._waiting: list[str] = []
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; in the event loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        """End it."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self._look)
            except Exception:
                log.exception("the certificate could not be looked after")  # the one in use stays
            await asyncio.sleep(CHECK_SECONDS)

    def _look(self) -> None:
        self._waiting += self._files.refresh()
        while self._waiting and self._report(self._waiting[0]):
            del self._waiting[0]


def limit_buffers() -> None:
    """Have TLS connections take less memory; before the first one."""
    sslproto.SSLProtocol.max_size = BUFFER_BYTES


def _loaded(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return a context for servers.

    Raises:
        BadInputError: the files cannot be read, or do not belong together.
    """
    hint = _("tls_cert and tls_key must be files in PEM: the certificate first, and its key without a passphrase.")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    for file in (certificate, key):
        try:
            with file.open("rb") as opened:
                opened.read(1)
        except OSError as error:
            raise BadInputError(
                _("{path} cannot be read: {reason}.").format(path=file, reason=error.strerror), hint
            ) from error
    try:
        context.load_cert_chain(certificate, key, password=_no_passphrase)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise BadInputError(
            _("The certificate {path} and its key cannot be used: {reason}.").format(
                path=certificate, reason=_reason(error)
            ),
            hint,
        ) from error
    return context


def _no_passphrase() -> str:
    """Stand in for a passphrase: without this, OpenSSL would ask for it at the terminal."""
    raise ValueError("the key has a passphrase")


def _reason(error: Exception) -> str:
    reason = str(getattr(error, "reason", None) or error)
    if reason == "KEY_VALUES_MISMATCH":
        return _("the key belongs to another certificate")
    if reason == "NO_START_LINE" or "PEM lib" in reason or "PEM_LIB" in reason:
        return _("they are no PEM files, or not whole")
    return reason


def _inspected(certificate: Path, context: ssl.SSLContext) -> CertificateInfo:
    """Return what a client finds in the certificate: by a handshake in memory, which also shows that it works."""
    try:
        client = context_for_pinned(certificate)
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        asking = client.wrap_bio(to_client, to_server, server_hostname=None)
        serving = context.wrap_bio(to_server, to_client, server_side=True)
        for end in (asking, serving) * 3:
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
        found = asking.getpeercert() or {}
        ends = ssl.cert_time_to_seconds(str(found["notAfter"])) if "notAfter" in found else 0.0
        names = tuple(str(entry[1]) for entry in found.get("subjectAltName", ()))
    except (ssl.SSLError, OSError, ValueError) as error:
        log.warning("certificate not understood", path=str(certificate), reason=_reason(error))
        return CertificateInfo()
    return CertificateInfo(names, float(ends))


def _signature(certificate: Path, key: Path) -> Signature:
    """Return what changes when a file is written or replaced (a link may lead elsewhere)."""
    found = []
    for file in (certificate, key):
        try:
            state = file.stat()
        except OSError:
            found.append((0, 0, 0, 0))
        else:
            found.append((state.st_dev, state.st_ino, state.st_mtime_ns, state.st_size))
    return tuple(found)
