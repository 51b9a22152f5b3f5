"""Verifies the signature of a model: copies it privately, has a child process verify the copy, which is then loaded.

The signature is a bundle of the OpenSSF Model Signing specification: `model.sig` in a folder, `NAME.gguf.sig` or
`model.sig` beside a file. Results are kept as long as neither the files nor the key change.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from services.core.errors import DamagedError, TimedOutError, UnavailableError
from services.core.i18n import _, joined, listed
from services.core.machine import MEGABYTE
from services.core.model_signatures.child import BUNDLE, CONTENT, FILES, KEY, SIGNER, WHOLE_FILE
from services.core.model_signatures.private_copy import PrivateCopy, stamp, stamps
from services.core.settings import Settings

log = structlog.get_logger(__name__)

SIGNATURE_FILE = "model.sig"
SIGNATURE_ENDING = ".sig"
ROOT = str(Path(__file__).resolve().parents[3])
_MODULE = "services.core.model_signatures.child"
_KEPT = ("PATH", "LANG", "LC_ALL", "TEMP", "TMP", "VIRTUAL_ENV")
_MOST_SIGNATURE_BYTES = 16 * MEGABYTE
_MOST_KEY_BYTES = 64 * 1024
_SHORTEST_SECONDS = 60.0
_SLOWEST = 10 * MEGABYTE  # bytes a second
_MOST_REFUSALS = 16
_Stamps = dict[str, tuple[int, ...]]


class RefusedModelError(DamagedError):
    """A model has no valid signature; it was not loaded."""

    expected = True  # a circuit breaker does not count it: trying again changes nothing


@dataclass(frozen=True, slots=True)
class _Verified:
    """A copy whose signature was found valid, and what the original looked like then."""

    copy: PrivateCopy
    path: Path
    stamps: _Stamps


class ModelVerifier:
    """Returns verified copies of models; without a key it returns the models themselves. Thread-safe.

    Copies stay until `keep_only` or `close` removes them, or until the model has changed and was verified anew.
    """

    def __init__(self, key_file: str, data_folder: Path, *, spare_bytes: int = 0) -> None:
        """`key_file` is the public key ("": nothing is verified); copies are kept in `data_folder`."""
        self._key_file = Path(key_file).expanduser() if key_file else None
        self._data_folder = data_folder
        self._spare_bytes = spare_bytes
        self._lock = threading.Lock()
        self._known: dict[Path, _Verified] = {}
        self._refusals: dict[Path, tuple[_Stamps, RefusedModelError]] = {}

    @classmethod
    def of(cls, settings: Settings) -> ModelVerifier:
        """Return the verifier of the configured key."""
        return cls(settings.model_key, settings.data_dir, spare_bytes=settings.free_disk_mb * MEGABYTE)

    @property
    def demanded(self) -> bool:
        """Whether models must be signed."""
        return self._key_file is not None

    def require_signature(self, path: Path) -> None:
        """Refuse a model without a signature beside it, or one that was refused and has not changed since; a signature
        that was not verified yet is not verified here.

        Raises:
            RefusedModelError: it is refused.
            UnavailableError: a file cannot be read.
        """
        if self._key_file is not None:
            self._require_not_refused(path, self._stamps(*self._signature_of(path)))

    def _require_not_refused(self, path: Path, now: _Stamps) -> None:
        refused = self._refusals.get(path)
        if refused is not None and refused[0] == now:
            raise RefusedModelError(refused[1].message, refused[1].hint)

    def verified(self, path: Path) -> Path:
        """Return what to load in place of the model at `path`: a private copy that was verified, or `path` itself
        where no signature is demanded.

        Raises:
            RefusedModelError: it is not signed, was changed, or was signed by somebody else.
            MillpondError: it cannot be verified, for want of disk space for example.
        """
        if self._key_file is None:
            return path
        with self._lock:
            source, signature = self._signature_of(path)
            now = self._stamps(source, signature)
            known = self._known.get(path)
            if known is not None and known.stamps == now:
                known.copy.check()
                return known.path
            self._require_not_refused(path, now)
            try:
                copy = self._verify(source, signature)
            except RefusedModelError as error:
                self._refusals[path] = now, error
                while len(self._refusals) > _MOST_REFUSALS:
                    del self._refusals[next(iter(self._refusals))]
                raise
            self._refusals.pop(path, None)
            if known is not None:
                known.copy.close()
            loaded = copy.path if source == path else copy.path / path.name
            self._known[path] = _Verified(copy, loaded, now)
            return loaded

    def check(self, path: Path) -> None:
        """Check after loading that what `verified` returned for `path` was not changed meanwhile.

        Raises:
            DamagedError: it was.
        """
        with self._lock:
            known = self._known.get(path)
        if known is not None:
            known.copy.check()

    def keep_only(self, path: Path | None) -> None:
        """Remove the copies of all other models; None: of all."""
        with self._lock:
            for other in [each for each in self._known if each != path]:
                self._known.pop(other).copy.close()

    def close(self) -> None:
        """Remove all copies."""
        self.keep_only(None)

    def _signature_of(self, path: Path) -> tuple[Path, Path]:
        """Return what is signed, the model or the folder that holds it, and its signature."""
        if path.is_dir():
            source, signature = path, path / SIGNATURE_FILE
        else:
            source, signature = path, path.with_name(path.name + SIGNATURE_ENDING)
            if not signature.is_file():
                signature = path.with_name(SIGNATURE_FILE)
                if signature.is_file() and not _signs_one_file(signature):
                    source = path.parent
        if not signature.is_file():
            raise self._refused(path, _("it is not signed: there is no {file}").format(file=signature_place(path)))
        return source, signature

    def _stamps(self, source: Path, signature: Path) -> _Stamps:
        assert self._key_file is not None  # noqa: S101 - asked before
        try:
            beside = {"signature": stamp(signature.stat()), "key": stamp(self._key_file.stat())}
            return stamps(source, _left_out(source)) | beside
        except OSError as error:
            raise UnavailableError(
                _("{path} cannot be read: {reason}.").format(path=error.filename, reason=error.strerror),
                _("Look at MILLPOND_MODEL_KEY and at the model's files."),
            ) from error

    def _verify(self, source: Path, signature: Path) -> PrivateCopy:
        assert self._key_file is not None  # noqa: S101 - asked before
        copy = PrivateCopy(self._data_folder, source, without=_left_out(source), spare_bytes=self._spare_bytes)
        try:
            bundle = copy.add(signature, "bundle.sig", _MOST_SIGNATURE_BYTES)
            key = copy.add(self._key_file, "key.pem", _MOST_KEY_BYTES)
            signed = self._signed(source, self._answer(copy, bundle, key))
            copy.check()
            if not source.is_file():
                copy.keep_only(signed)
        except BaseException:
            copy.close()
            raise
        log.info("signature of a model verified", name=source.name, files=len(signed))
        return copy

    def _signed(self, source: Path, answer: dict[str, Any]) -> frozenset[str]:
        """Return the names of the files that the signature covers.

        Raises:
            RefusedModelError: the child has refused the model, or the signature is for something else.
        """
        if "refused" in answer:
            raise self._refused(source, self._reason(answer))
        signed = frozenset(answer["signed"])
        if source.is_file() and signed != {WHOLE_FILE}:
            raise self._refused(source, _("its signature is that of something else"))
        return signed

    def _answer(self, copy: PrivateCopy, bundle: Path, key: Path) -> dict[str, Any]:
        """Run the child and return what it says."""
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ} | {"PYTHONPATH": ROOT}
        size = sum(file.stat().st_size for file in copy.folder.rglob("*") if file.is_file())
        seconds = _SHORTEST_SECONDS + size / _SLOWEST
        try:
            done = subprocess.run(  # noqa: S603 - our own module; the paths are ours
                [sys.executable, "-m", _MODULE, str(copy.path), str(bundle), str(key)],
                cwd="/",
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise TimedOutError(
                _("The signature of {name} was not verified within {seconds:.0f} s.").format(
                    name=copy.path.name, seconds=seconds
                ),
                _("Try again at a quieter time."),
            ) from error
        except OSError as error:
            raise UnavailableError(
                _("The process that verifies signatures could not be started: {reason}.").format(reason=error.strerror),
                _("Free some memory and try again."),
            ) from error
        lines = done.stdout.decode("utf-8", "replace").splitlines()
        if done.returncode or not lines:
            output = done.stderr.decode("utf-8", "replace")[-2000:]
            log.error("verifying a signature failed", status=done.returncode, output=output)
            raise UnavailableError(
                _("The signature of {name} could not be verified: the process ended with {code}.").format(
                    name=copy.path.name, code=done.returncode
                ),
                _("The log has the details."),
            )
        answer: dict[str, Any] = json.loads(lines[-1])
        return answer

    def _reason(self, answer: dict[str, Any]) -> str:
        """Return in words why the child refused."""
        names, detail = answer["names"], str(answer["detail"])
        match answer["refused"]:
            case reason if reason == FILES:
                return self._differences(names) or detail
            case reason if reason == SIGNER:
                return _("it was signed by somebody else than the owner of {key}").format(key=self._key_file)
            case reason if reason == CONTENT:
                return _("its signature is not that of the owner of {key}").format(key=self._key_file)
            case reason if reason == KEY:
                return {
                    "private": _("{key} is a private key; here the public one is needed"),
                    "type": _("{key} is not a key on one of the curves P-256, P-384 and P-521"),
                }.get(detail, _("{key} is not a public key in PEM")).format(key=self._key_file)
            case reason if reason == BUNDLE and detail == "version":
                return _("its signature is of a version that is not known")
        return _("its signature cannot be read ({detail})").format(detail=detail)

    @staticmethod
    def _differences(names: dict[str, list[str]]) -> str:
        said = {
            "changed": _("changed since it was signed: {names}"),
            "extra": _("added since it was signed: {names}"),
            "missing": _("missing: {names}"),
        }
        parts = []
        for kind, text in said.items():
            if found := names.get(kind):
                shown = listed(_("the file") if name == WHOLE_FILE else name for name in found)
                parts.append(text.format(names=shown))
        return joined(parts, _("; "))

    def _refused(self, path: Path, reason: str) -> RefusedModelError:
        return RefusedModelError(
            _("The model {name} is refused: {reason}. It was not loaded, nothing of it was changed.").format(
                name=path.name, reason=reason
            ),
            _("Have it signed (millpond models sign), or take MILLPOND_MODEL_KEY out of the settings."),
        )


@contextmanager
def refusals_keep_choice() -> Iterator[None]:
    """Add to a refusal that the model chosen before goes on."""
    try:
        yield
    except RefusedModelError as error:
        text = _("{error} The model chosen before stays in use.").format(error=error.message)
        raise RefusedModelError(text, error.hint) from error


def _left_out(source: Path) -> frozenset[str]:
    return frozenset() if source.is_file() else frozenset({SIGNATURE_FILE})


def signature_place(path: Path) -> Path:
    """Return where the signature of a model is expected, and written to."""
    return path / SIGNATURE_FILE if path.is_dir() else path.with_name(path.name + SIGNATURE_ENDING)


def _signs_one_file(signature: Path) -> bool:
    """Return whether a bundle says that it signs one file, not a folder; it is not verified here."""
    try:
        with signature.open("rb") as stream:
            bundle = json.loads(stream.read(_MOST_SIGNATURE_BYTES))
        statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
        names = {str(resource["name"]).partition(":")[0] for resource in statement["predicate"]["resources"]}
    except (ValueError, KeyError, TypeError, RecursionError, OSError):
        return True
    return names == {WHOLE_FILE}
