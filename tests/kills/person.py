"""A person at work, over HTTP, and through orders where only a page does it; what came of it is in a ledger."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from email.message import EmailMessage
from typing import Any

import httpx

from services.knowledge.document_import import PreparedChunk, content_hash
from services.knowledge.file_names import SEPARATOR
from tests.kills.life import Life, OrderError
from tests.kills.world import Ledger, RefusedError, Shelf, Talk, World, some_answer

BUSY = frozenset({429, 503})
REFUSALS = ("BusyError", "ConflictError", "UnavailableError")


class KilledError(Exception):
    """The server was killed before it answered."""


def code_word(seed: object) -> str:
    """Return a word that is in no other document."""
    digest = hashlib.sha256(str(seed).encode()).digest()
    return "".join("bcdfghklmnprstvz"[byte % 16] + "aeiou"[byte % 5] for byte in digest[:7])


def text_with(word: str, paragraphs: int = 2) -> bytes:
    """Return a text of which each paragraph has the word."""
    return "\n\n".join(
        f"Paragraph {number} of {word}. The {word} of number {number} is described here in some detail, so that a "
        f"chunk has something to say about {word} and its {number * 7} parts."
        for number in range(1, paragraphs + 1)
    ).encode()


class Person:
    """Works with collections, documents and conversations whose names begin with `name`.

    Methods raise `KilledError` when the server is killed meanwhile.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.ledger = Ledger()
        self.words: dict[str, str] = {}  # the code word of every content that was ever sent, by its sha256
        self._sent: dict[str, bytes] = {}  # by their sha256
        self.sets_retrieval = False
        self.unsettled: set[str] = set()  # conversations that somebody left during an answer
        self._life: Life | None = None

    def go_to(self, life: Life) -> None:
        """Work with this server from now on; all is settled."""
        self._life = life
        self.unsettled.clear()

    @property
    def life(self) -> Life:
        assert self._life is not None
        return self._life

    @property
    def world(self) -> World:
        return self.ledger.world

    # Collections

    def create_collection(self, name: str) -> None:
        with self.ledger.act(lambda world: world.shelves.update({name: Shelf()})):
            self._call("POST", "/api/collections", json={"name": name})

    def delete_collection(self, name: str) -> None:
        with self.ledger.act(lambda world: _drop(world.shelves, name)):
            self._call("DELETE", f"/api/collections/{self.collection(name)}")

    # Documents

    def upload(self, shelf: str, files: Sequence[tuple[str, str, int]]) -> None:
        """Upload (name, code word, paragraphs) each, in one request."""
        contents = [(name, self._text(word, paragraphs)) for name, word, paragraphs in files]
        with self.ledger.act(*(_put(shelf, [each]) for each in contents)):
            self._upload(shelf, contents)

    def upload_again(self, shelf: str, name: str, other: str) -> None:
        """Upload the content of the document `name` as `other`: it is known, nothing changes."""
        sent = self._sent[self.world.shelves[shelf].documents[name][0]]
        with self.ledger.act():
            [answer] = self._upload(shelf, [(other, sent)])
            assert answer["duplicate"], answer

    def upload_mail(self, shelf: str, name: str, word: str, attached: Sequence[str]) -> None:
        """Upload a mail with attachments of one code word each."""
        mail = EmailMessage()
        mail["Subject"], mail["From"], mail["To"] = f"About {word}", "a@example.org", "b@example.org"
        mail.set_content(text_with(word, 1).decode())
        files = [(f"{each}.txt", self._text(each, 1)) for each in attached]
        for file, data in files:
            mail.add_attachment(data, maintype="text", subtype="plain", filename=file)
        self.words[hashlib.sha256(bytes(mail)).hexdigest()] = word
        contents = [(name, bytes(mail)), *((f"{name}{SEPARATOR}{file}", data) for file, data in files)]
        with self.ledger.act(_put(shelf, contents)):
            self._upload(shelf, contents[:1])

    def import_document(self, shelf: str, name: str, word: str) -> None:
        """Import a document in chunks, as `millpond import` does; its vectors are made here."""
        texts = text_with(word, 3).decode().split("\n\n")
        known = content_hash([PreparedChunk(text, None, {"source": name}) for text in texts])
        self.words[known] = word
        body = {
            "name": name,
            "collection": self.collection(shelf),
            "chunks": [{"text": text, "metadata": {"source": name}} for text in texts],
        }
        with self.ledger.act(lambda world: world.shelves[shelf].documents.update({name: (known, True)})):
            self._call("POST", "/api/imports", json=body)

    def delete(self, shelf: str, name: str) -> None:
        """Delete a document with its attachments."""
        taken = [each for each in self.world.shelves[shelf].documents if _belongs(each, name)]
        with self.ledger.act(lambda world: [_drop(world.shelves[shelf].documents, each) for each in taken] and None):
            self._call("DELETE", f"/api/documents/{self.document(shelf, name)}")

    def enable(self, shelf: str, name: str, enabled: bool) -> None:
        def change(world: World) -> None:
            documents = world.shelves[shelf].documents
            documents[name] = (documents[name][0], enabled)

        with self.ledger.act(change):
            self._call("POST", f"/api/documents/{self.document(shelf, name)}/{'enable' if enabled else 'disable'}")

    def move(self, shelf: str, name: str, target: str) -> None:
        """Move a document without attachments."""

        def change(world: World) -> None:
            world.shelves[target].documents[name] = world.shelves[shelf].documents.pop(name)

        with self.ledger.act(change):
            self.order(do="move", document=self.document(shelf, name), collection=self.collection(target))

    def rechunk(self, shelf: str, name: str, tokens: int) -> None:
        with self.ledger.act():
            self.order(do="rechunk", document=self.document(shelf, name), tokens=tokens)

    # Conversations

    def create_conversation(self, title: str, turns: int = 5) -> None:
        with self.ledger.act(lambda world: world.talks.update({title: Talk(turns)})):
            self._call("POST", "/api/conversations", json={"title": title, "history_turns": turns})

    def delete_conversation(self, title: str) -> None:
        with self.ledger.act(lambda world: _drop(world.talks, title)):
            self._call("DELETE", f"/api/conversations/{self.conversation(title)}")

    def set_turns(self, title: str, turns: int) -> None:
        def change(world: World) -> None:
            world.talks[title].turns = turns

        with self.ledger.act(change):
            self.order(do="turns", conversation=self.conversation(title), k=turns)

    def ask(self, title: str, question: str) -> None:
        """Ask, and read the answer to its end."""
        with self.ledger.act(_say(title, ("user", question)), _say(title, some_answer())):
            text = self.stream(self.conversation(title), question)
            self._heard(title, text)

    def leave(self, title: str, question: str) -> None:
        """Ask, and go after the first words: the answer is stopped."""
        self.unsettled.add(title)
        with self.ledger.act(_say(title, ("user", question)), instead=[_say(title, ("user", question), some_answer())]):
            self.stream(self.conversation(title), question, events=1)
        self.ledger.may_have(_say(title, some_answer()))

    def edit(self, title: str, question: str) -> None:
        """Replace the last question."""

        def replaced(world: World) -> None:
            messages = world.talks[title].messages
            while messages.pop()[0] != "user":
                pass
            messages.append(("user", question))

        with self.ledger.act(replaced, _say(title, some_answer())):
            self.order(do="edit", conversation=self.conversation(title), question=question)

    def ask_again(self, title: str) -> None:
        """Have the last question answered again: the new answer replaces the old one."""

        def replaced(world: World) -> None:
            messages = world.talks[title].messages
            if messages[-1][0] != "user":
                messages.pop()
            messages.append(some_answer())

        with self.ledger.act(replaced):
            self.order(do="again", conversation=self.conversation(title))

    # Settings

    def set_retrieval(self, k: int) -> None:
        def change(world: World) -> None:
            world.k = k

        with self.ledger.act(change):
            self.order(do="retrieval", k=k)

    # Ids

    def collection(self, name: str) -> int:
        found = self._call("GET", "/api/collections").json()["collections"]
        return next(int(each["id"]) for each in found if each["name"] == name)

    def document(self, shelf: str, name: str) -> int:
        parameters: dict[str, Any] = {"collection": self.collection(shelf), "query": name, "limit": 1000}
        found = self._call("GET", "/api/documents", params=parameters).json()["documents"]
        return next(int(each["id"]) for each in found if each["name"] == name)

    def conversation(self, title: str) -> str:
        found = self._call("GET", "/api/conversations", params={"limit": 1000}).json()["conversations"]
        return next(str(each["id"]) for each in found if each["title"] == title)

    # Transport

    def stream(self, conversation: str, question: str, events: int = 10**6) -> str:
        """Ask by the id of a conversation; return the answer, "" if only so many events are read."""
        path = f"/api/conversations/{conversation}/questions"
        try:
            with self.life.client.stream("POST", path, json={"question": question}) as answer:
                _check(answer)
                name = ""
                for line in answer.iter_lines():
                    if line.startswith("event: "):
                        name = line.removeprefix("event: ")
                    elif line.startswith("data: ") and name == "finished":
                        return str(json.loads(line.removeprefix("data: "))["text"])
                    elif not line:
                        events -= 1
                        if not events:
                            return ""
        except httpx.TransportError as error:
            raise KilledError from error
        raise KilledError  # the connection ended without the end of the answer

    def order(self, **order: Any) -> Any:
        """Have the server do what otherwise a page does."""
        try:
            return self.life.order(**order)
        except OSError as error:
            raise KilledError from error
        except OrderError as error:
            if str(error).startswith(REFUSALS):
                raise RefusedError from error
            raise

    def life_order(self, what: str) -> None:
        """Give an order that changes nothing which people see."""
        with self.ledger.act():
            self.order(do=what)

    def _upload(self, shelf: str, contents: Iterable[tuple[str, bytes]]) -> list[dict[str, Any]]:
        sent = self._call(
            "POST",
            "/api/documents",
            params={"collection": self.collection(shelf)},
            files=[("file", each) for each in contents],
        )
        answer = sent.json()
        assert not answer["errors"], answer
        return list(answer["documents"])

    def _heard(self, title: str, text: str) -> None:
        """Know the text of an answer, in every world that has it."""
        for world in self.ledger.worlds:
            messages = world.talks[title].messages if title in world.talks else []
            if messages and messages[-1] == some_answer():
                messages[-1] = ("assistant", text)

    def _call(self, method: str, path: str, **keywords: Any) -> httpx.Response:
        try:
            answer = self.life.client.request(method, path, **keywords)
        except httpx.TransportError as error:
            raise KilledError from error
        return _check(answer)

    def _text(self, word: str, paragraphs: int) -> bytes:
        data = text_with(word, paragraphs)
        digest = hashlib.sha256(data).hexdigest()
        self.words[digest] = word
        self._sent[digest] = data
        return data


def _check(answer: httpx.Response) -> httpx.Response:
    if answer.status_code in BUSY:
        raise RefusedError
    if answer.is_error:
        answer.read()
        raise AssertionError(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text}")
    return answer


def _drop(things: dict[str, Any], name: str) -> None:
    things.pop(name, None)


def _belongs(name: str, parent: str) -> bool:
    return name == parent or name.startswith(parent + SEPARATOR)


def _put(shelf: str, contents: Sequence[tuple[str, bytes]]) -> Any:
    found = {name: (hashlib.sha256(data).hexdigest(), True) for name, data in contents}

    def change(world: World) -> None:
        for name, (digest, enabled) in found.items():
            before = world.shelves[shelf].documents.get(name)
            world.shelves[shelf].documents[name] = (digest, enabled if before is None else before[1])

    return change


def _say(title: str, *messages: tuple[str, str]) -> Any:
    def change(world: World) -> None:
        world.talks[title].messages.extend(messages)

    return change
