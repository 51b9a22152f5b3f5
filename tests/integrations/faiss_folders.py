"""Folders as LangChain writes them, and pickles that nobody should load."""

from __future__ import annotations

import pickletools
from pathlib import Path

from langchain_community.vectorstores import FAISS
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

MANUAL = [
    Document(
        page_content="The kiln is fired at 1250 degrees for nine hours.",
        metadata={"source": "docs/kiln.pdf", "page": 0, "author": "Ada"},
    ),
    Document(
        page_content="The glaze is mixed with ash and feldspar.",
        metadata={"source": "docs/kiln.pdf", "page": 4, "tags": ["ash", 2, None]},
    ),
    Document(
        page_content="Clay is wedged before it is thrown on the wheel.", metadata={"source": "/srv/notes/clay.md"}
    ),
]


def write_folder(folder: Path, embeddings: Embeddings, documents: list[Document] | None = None) -> Path:
    """Write `index.faiss` and `index.pkl` with LangChain's own class."""
    store = FAISS.from_documents(documents or MANUAL, embeddings)
    store.save_local(str(folder))
    return folder


def rename_classes(data: bytes, names: dict[tuple[str, str], tuple[str, str]]) -> bytes:
    """Return a pickle of protocol 4 with other names of modules; frames are left out, which are optional."""
    changed = bytearray()
    ends = [position for _opcode, _argument, position in pickletools.genops(data)][1:]
    modules = {old[0]: new[0] for old, new in names.items()}
    for (opcode, argument, position), end in zip(pickletools.genops(data), [*ends, len(data)], strict=True):
        if opcode.name == "FRAME":
            continue
        if opcode.name == "SHORT_BINUNICODE" and argument in modules:
            new = modules[argument].encode()
            changed += b"\x8c" + bytes([len(new)]) + new
        else:
            changed += data[position:end]
    return bytes(changed)
