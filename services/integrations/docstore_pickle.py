"""The document store of a LangChain FAISS folder (`index.pkl`): its texts and metadata, read as data."""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from services.core.errors import BadInputError
from services.core.i18n import _
from services.core.units import MEGABYTE
from services.integrations.pickle_machine import ClassKind, InertObject, PickleMachine, PickleRefusedError

LARGEST_FILE_BYTES = 1024 * MEGABYTE
# One text that is repeated by reference costs the file nothing: all texts together may have so many times its size.
_TEXT_EXPANSION = 8
_MOST_TEXT_CHARACTERS = 2_000_000
_MOST_METADATA_VALUES = 2_000
_DEEPEST_METADATA = 12
# How pydantic 1 and 2 write the state of a model, and the fields that a document has had over time.
_MODEL_STATE = frozenset({"__dict__", "__fields_set__", "__private_attribute_values__"}).union(
    ("__pydantic_extra__", "__pydantic_fields_set__", "__pydantic_private__")
)
_DOCUMENT_FIELDS = frozenset(["page_content", "metadata", "id", "type", "lookup_str", "lookup_index"])


@dataclass(frozen=True, slots=True)
class StoredText:
    """One text of a document store; `position` is its row in the vector index, None where it has none."""

    text: str
    metadata: dict[str, Any]
    position: int | None


def read_docstore(path: Path) -> list[StoredText]:
    """Return the texts of the file that LangChain writes as `index.pkl`, those in the index first and in its order.

    Raises:
        BadInputError: it contains anything else than texts and metadata, is damaged or too large. Nothing of it was
            executed.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if not size:
                raise _refusal(path, _("it is empty"))
            if size > LARGEST_FILE_BYTES:
                raise _refusal(path, _("it is larger than {limit} MB").format(limit=LARGEST_FILE_BYTES // MEGABYTE))
            # A mapping bounds what an instruction can ask to read by what the file has.
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return list(_texts(PickleMachine(size).run(data), size))
    except OSError as error:
        raise BadInputError(_("{path} cannot be read: {reason}.").format(path=path, reason=error.strerror)) from error
    except PickleRefusedError as error:
        raise _refusal(path, str(error)) from error


def _refusal(path: Path, reason: str) -> BadInputError:
    return BadInputError(
        _("{path} is not a document store that can be read: {reason}. Nothing was imported.").format(
            path=path, reason=reason
        ),
        _("Nothing in the file was executed. Millpond reads what LangChain's FAISS.save_local writes, no more."),
    )


def _texts(value: object, size: int) -> Iterator[StoredText]:
    """Yield the texts of (document store, {position: id}); `size` is the file's, in bytes."""
    if not (isinstance(value, tuple) and len(value) == 2):
        raise PickleRefusedError(_("it is not a document store with its positions"))
    docstore, ids = value
    if not (isinstance(docstore, InertObject) and docstore.kind is ClassKind.DOCSTORE and isinstance(ids, dict)):
        raise PickleRefusedError(_("it is not a document store with its positions"))
    state = docstore.state or {}
    entries = state.get("_dict")
    if set(state) != {"_dict"} or not isinstance(entries, dict):
        raise PickleRefusedError(_("the document store has a state that is not known here"))
    left = _TEXT_EXPANSION * size + MEGABYTE
    unplaced = dict.fromkeys(entries)
    rows: list[tuple[int | None, Any]] = []
    for position, key in sorted(ids.items(), key=_position):
        if not isinstance(key, str | int) or key not in entries:
            raise PickleRefusedError(_("a position of the index has no text"))
        unplaced.pop(key, None)
        rows.append((position, entries[key]))
    rows += [(None, entries[key]) for key in unplaced]
    for position, entry in rows:
        text, metadata, count = _document(entry)
        left -= count
        if left < 0:
            raise PickleRefusedError(_("its values would take too much memory"))
        yield StoredText(text, metadata, position)


def _position(item: tuple[object, object]) -> int:
    if not isinstance(item[0], int) or item[0] < 0:
        raise PickleRefusedError(_("a position of the index is not a number"))
    return item[0]


def _document(entry: object) -> tuple[str, dict[str, Any], int]:
    """Return text, metadata and the characters of both."""
    state = entry.state if isinstance(entry, InertObject) and entry.kind is ClassKind.DOCUMENT else None
    fields = state.get("__dict__") if state is not None else None
    if state is None or not isinstance(fields, dict) or set(state) - _MODEL_STATE or set(fields) - _DOCUMENT_FIELDS:
        raise PickleRefusedError(_("a document has a state that is not known here"))
    text, metadata = fields.get("page_content"), fields.get("metadata", {})
    if not isinstance(text, str) or not isinstance(metadata, dict):
        raise PickleRefusedError(_("a document has no text"))
    if len(text) > _MOST_TEXT_CHARACTERS:
        raise PickleRefusedError(_("a text has more than {count} characters").format(count=_MOST_TEXT_CHARACTERS))
    copy = _MetadataCopy()
    plain = copy.value(metadata, 0)
    return _clean(text), cast("dict[str, Any]", plain), len(text) + copy.characters


class _MetadataCopy:
    """Copies the metadata of one text as JSON has it, within limits: references may make it endless."""

    def __init__(self) -> None:
        self.characters = 0
        self._values = 0

    def value(self, value: object, depth: int) -> object:
        self._values += 1
        if self._values > _MOST_METADATA_VALUES or depth > _DEEPEST_METADATA:
            raise PickleRefusedError(_("the metadata of a text are nested too deeply, or too many"))
        if isinstance(value, str | bytes):
            self.characters += len(value)
            if self.characters > _MOST_TEXT_CHARACTERS:
                raise PickleRefusedError(_("the metadata of a text are nested too deeply, or too many"))
            return _clean(value if isinstance(value, str) else value.decode("utf-8", "replace"))
        if isinstance(value, dict):
            return {_clean(str(key)): self.value(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple | set):
            return [self.value(item, depth + 1) for item in value]
        if isinstance(value, float) and not math.isfinite(value):
            return None  # JSON has no such numbers
        if isinstance(value, int) and abs(value) >= 2**63:
            raise PickleRefusedError(_("a number among the metadata is too large"))
        if value is None or isinstance(value, bool | int | float):
            return value
        raise PickleRefusedError(_("the metadata of a text contain an object"))


def _clean(text: str) -> str:
    """Return a text without what UTF-8 cannot hold and databases end texts at."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")
