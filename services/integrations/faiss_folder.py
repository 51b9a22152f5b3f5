"""Knowledge bases of LangChain and Langchain-Chatchat on disk: folders with `index.faiss` and `index.pkl`.

Texts and metadata come from the pickle, vectors from the index where that is a flat one. Neither file is loaded by the
library that wrote it: `index.faiss` is mapped after its header was compared with its length, `index.pkl` is read as
data. Sources become names and nothing else; no path in them is followed.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from services.core.errors import BadInputError
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.integrations.pickle_machine import ClassKind, InertObject, PickleMachine, PickleRefusedError
from services.knowledge.document_import import PreparedChunk, PreparedDocument, storable_text
from services.knowledge.file_names import collection_name, display_name
from services.knowledge.store.chunks import Vectors

INDEX_FILE, DOCSTORE_FILE = "index.faiss", "index.pkl"
_CHATCHAT_FOLDER = "vector_store"
# Flat indexes: by inner product, by distance, and how old versions wrote both
# (https://github.com/facebookresearch/faiss/blob/main/faiss/impl/index_write.cpp, write_index_header and IndexFlat).
_FLAT = frozenset({b"IxFI", b"IxF2", b"IxFl"})
# Format, dimension, vectors, two unused, trained, metric, how many numbers follow.
_HEADER = struct.Struct("<4siqqqBiQ")
_LARGEST_DIMENSION = 65_536
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
class KnowledgeBase:
    """A folder to import; `passed_over` are others of the same knowledge base, made with another model."""

    name: str
    folder: Path
    passed_over: tuple[Path, ...] = ()


def find_knowledge_bases(path: Path) -> list[KnowledgeBase]:
    """Return what can be imported in `path` and below it, by name.

    In Langchain-Chatchat's layout (NAME/vector_store/MODEL) a knowledge base may be there once for each embedding
    model, with the same texts: the one that was written last counts.
    """
    folders = [file.parent for file in sorted(path.rglob(DOCSTORE_FILE)) if (file.parent / INDEX_FILE).is_file()]
    by_base: dict[tuple[str, Path], list[Path]] = {}
    for folder in folders:
        by_base.setdefault(_base(folder.resolve()), []).append(folder)
    found = []
    for (name, _place), same in by_base.items():
        newest = max(same, key=lambda folder: (folder / DOCSTORE_FILE).stat().st_mtime)
        others = tuple(folder for folder in same if folder != newest)
        found.append(KnowledgeBase(name, newest, others))
    return sorted(found, key=lambda base: (base.name.casefold(), str(base.folder)))


def _base(folder: Path) -> tuple[str, Path]:
    """Return the name of a knowledge base, and the folder that is its own."""
    own = folder
    if folder.name == _CHATCHAT_FOLDER:
        own = folder.parent
    elif folder.parent.name == _CHATCHAT_FOLDER:
        own = folder.parent.parent
    return collection_name(own.name) or _("Imported"), own


@dataclass(frozen=True, slots=True)
class SourceDocument:
    """All texts of one source; `vectors` are those of the whole index, mapped from its file, None if unusable."""

    name: str
    texts: Sequence[StoredText]
    vectors: Vectors | None

    def prepared(self) -> PreparedDocument:
        """Return the document as it is imported, with a copy of its own vectors."""
        chunks = [PreparedChunk(text.text, page_of(text.metadata), text.metadata) for text in self.texts]
        rows = [text.position for text in self.texts if text.position is not None]
        usable = self.vectors is not None and len(rows) == len(chunks) and max(rows) < len(self.vectors)
        vectors = np.array(self.vectors[rows], np.float32) if usable and self.vectors is not None else None
        return PreparedDocument(self.name, chunks, vectors)


def read_documents(folder: Path) -> list[SourceDocument]:
    """Return a document for each source of a knowledge base, its texts in the order of the index.

    Raises:
        BadInputError: the document store is damaged, or contains anything else than texts and metadata.
    """
    texts = read_docstore(folder / DOCSTORE_FILE)
    vectors = read_vectors(folder / INDEX_FILE)
    if vectors is not None and len(vectors) != sum(text.position is not None for text in texts):
        vectors = None  # index and texts were not written together
    by_source: dict[str, list[StoredText]] = {}
    for text in texts:
        if text.text.strip():
            by_source.setdefault(_source(text.metadata), []).append(text)
    names = source_names(list(by_source))
    return [SourceDocument(names[source], own, vectors) for source, own in by_source.items()]


def _source(metadata: dict[str, Any]) -> str:
    source = metadata.get("source")
    return source if isinstance(source, str) else ""


def page_of(metadata: dict[str, Any]) -> int | None:
    """Return the page, counted from 1: LangChain's PDF loaders count `page` from 0, others `page_number` from 1."""
    for field, first in (("page", 0), ("page_number", 1)):
        number = metadata.get(field)
        if isinstance(number, int) and not isinstance(number, bool) and first <= number < 1_000_000:
            return number - first + 1
    return None


def source_names(sources: Sequence[str]) -> dict[str, str]:
    """Return a name for each source: its last part; sources that share it are named with their folders."""
    steps = {source: _steps(source) for source in sources}
    names = {source: steps[source][-1] for source in sources}
    shared = {name for name, count in Counter(names.values()).items() if count > 1}
    taken = {name for name in names.values() if name not in shared}
    for source, name in names.items():
        if name in shared:
            names[source] = _distinct(" › ".join(steps[source]), taken)
        taken.add(names[source])
    return names


def _steps(source: str) -> list[str]:
    parts = source.replace("\\", "/").split("/")
    steps = [display_name(part) for part in parts if part.strip(" .")]
    return steps or [_("Texts without a source")]


def _distinct(wanted: str, taken: set[str]) -> str:
    name, number = display_name(wanted), 1
    while name in taken:
        number += 1
        name = display_name(f"{wanted[:200]} ({number})")
    return name


def read_vectors(path: Path) -> Vectors | None:
    """Return the vectors of a flat index, float32 (n, d), mapped from the file; None where it is another kind.

    An index that is cut off or says more than it holds counts as another kind: the texts do not depend on it.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            header = file.read(_HEADER.size)
    except OSError:
        return None
    if len(header) < _HEADER.size:
        return None
    kind, dimension, count, _unused, _unused_too, _trained, metric, numbers = _HEADER.unpack(header)
    # By metrics other than these two, inner product and distance, vectors do not compare by their direction.
    usable = kind in _FLAT and metric in {0, 1} and 0 < dimension <= _LARGEST_DIMENSION and count > 0
    if not usable or numbers != count * dimension or size != _HEADER.size + 4 * numbers:
        return None
    return np.memmap(path, dtype="<f4", mode="r", offset=_HEADER.size, shape=(count, dimension))


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
    return storable_text(text), cast("dict[str, Any]", plain), len(text) + copy.characters


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
            return storable_text(value if isinstance(value, str) else value.decode("utf-8", "replace"))
        if isinstance(value, dict):
            return {storable_text(str(key)): self.value(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple | set):
            return [self.value(item, depth + 1) for item in value]
        if isinstance(value, float) and not math.isfinite(value):
            return None  # JSON has no such numbers
        if isinstance(value, int) and abs(value) >= 2**63:
            raise PickleRefusedError(_("a number among the metadata is too large"))
        if value is None or isinstance(value, bool | int | float):
            return value
        raise PickleRefusedError(_("the metadata of a text contain an object"))
