"""The work of a soak, planned before it begins: the same plan runs against Millpond and the naive baseline."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import TypeVar

from tests.soak.documents import KINDS, document
from tests.soak.facts import Fact, facts, text_of

CORPUS_FACTS = 30  # in each of them
REPEATED = 0.1  # share of the questions that were asked before, word by word
HUNG_UP = 0.02  # share of the questions whose asker goes away in the middle of the answer
REPLACED = 0.2  # share of the uploads that are a new version of an earlier one
PICTURE_MB = 0.5
Item = TypeVar("Item")
PAGES = ("chat", "documents", "memory", "retrieval", "overview", "objects", "settings")


@dataclass(frozen=True, slots=True)
class Question:
    """A question: `conversation` counts from 0, `stored` says whether Millpond keeps the conversation or the client."""

    conversation: int
    text: str
    expected: str
    stored: bool
    streamed: bool
    hang_up: bool = False
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Upload:
    """A file; the same name again is a new version. The content is made when it is needed."""

    name: str
    kind: str
    seed: int
    text: str = ""  # what is in it, where that is not drawn from the seed

    def content(self) -> bytes:
        if self.text:
            return self.text.encode()
        return document(self.kind, self.seed, picture_mb=PICTURE_MB if self.seed % 3 == 0 else 0.0)


@dataclass(frozen=True, slots=True)
class Visit:
    """A browser session: the pages it opens, whether it uploads and asks, and whether it disconnects abruptly."""

    pages: tuple[str, ...]
    upload: Upload | None
    question: Question | None
    abrupt: bool


@dataclass(frozen=True, slots=True)
class Block:
    """The work between two quiesce points. `diagnostics` are censuses, metrics and the like."""

    questions: tuple[Question, ...] = ()
    uploads: tuple[Upload, ...] = ()
    visits: tuple[Visit, ...] = ()
    diagnostics: tuple[str, ...] = ()
    model_questions: tuple[Question, ...] = ()


@dataclass(frozen=True, slots=True)
class Amount:
    """How much: counts of the whole run. `seed` makes runs that do the same."""

    questions: int = 10_000
    conversations: int = 500
    uploads: int = 500
    visits: int = 200
    model_questions: int = 80
    blocks: int = 40
    shelf: int = 80
    seed: int = 1

    def scaled(self, share: float) -> Amount:
        """Return the same mixture, less of it; never fewer than ten blocks, which a slope needs."""
        blocks = max(10, min(self.blocks, round(self.questions * share / 250)))
        return replace(
            self,
            questions=max(blocks, round(self.questions * share)),
            conversations=max(4, round(self.conversations * share)),
            uploads=max(5, round(self.uploads * share)),
            visits=max(2, round(self.visits * share)),
            model_questions=round(self.model_questions * share),
            blocks=blocks,
        )


@dataclass(frozen=True)
class Plan:
    """The corpus that is uploaded at the start, and the blocks of work over it."""

    amount: Amount
    corpus: tuple[tuple[str, str], ...]
    blocks: tuple[Block, ...]
    repeated: int = field(default=0)


def plan(amount: Amount) -> Plan:
    """Return the whole work, drawn from the amount's seed."""
    chance = random.Random(amount.seed)
    corpus, known = _corpus(amount)
    questions = _questions(amount, known, chance)
    uploads = _uploads(amount, chance)
    model = _model_questions(amount, known, chance)
    visits = _visits(amount, known, chance)
    blocks = tuple(
        Block(
            questions=tuple(_part(questions, number, amount.blocks)),
            uploads=tuple(_part(uploads, number, amount.blocks)),
            visits=tuple(_part(visits, number, amount.blocks)),
            diagnostics=_diagnostics(number),
            model_questions=tuple(_part(model, number, amount.blocks)),
        )
        for number in range(amount.blocks)
    )
    return Plan(amount, corpus, blocks, sum(question.repeated for question in questions))


def only(planned: Plan, kind: str) -> Plan:
    """Return a plan with one kind of work alone: "questions", "uploads" or "sessions"."""
    kept = {
        "questions": lambda block: Block(questions=block.questions),
        "uploads": lambda block: Block(uploads=block.uploads),
        "sessions": lambda block: Block(visits=block.visits),
    }[kind]
    return replace(planned, blocks=tuple(kept(block) for block in planned.blocks))


def _corpus(amount: Amount) -> tuple[tuple[tuple[str, str], ...], list[Fact]]:
    """Return the documents that all questions are about, and the facts in them."""
    documents: list[tuple[str, str]] = []
    known: list[Fact] = []
    for number in range(amount.shelf):
        language = "zh" if number % 2 else "en"
        found = facts(CORPUS_FACTS, amount.seed * 10_000 + number, language)
        known += found
        documents.append((f"manual-{number}-{language}.txt", text_of(found, number)))
    return tuple(documents), known


def _questions(amount: Amount, known: list[Fact], chance: random.Random) -> list[Question]:
    ways = [(fact, text) for fact in known for text in fact.questions]
    chance.shuffle(ways)
    asked: list[Question] = []
    for number in range(amount.questions):
        # Every conversation is in use from the start and comes back again and again, as people do.
        conversation = number % amount.conversations if number < amount.conversations else -1
        if conversation < 0:
            conversation = chance.randrange(amount.conversations)
        repeated = bool(asked) and chance.random() < REPEATED
        old = chance.choice(asked) if repeated else None
        fact, text = ways[number % len(ways)]
        stored = conversation % 2 == 0
        asked.append(
            Question(
                conversation,
                old.text if old else text,
                old.expected if old else fact.expected,
                stored,
                streamed=chance.random() < 0.7,
                hang_up=chance.random() < HUNG_UP,
                repeated=repeated or number >= len(ways),
            )
        )
    return asked


def _uploads(amount: Amount, chance: random.Random) -> list[Upload]:
    made: list[Upload] = []
    for number in range(amount.uploads):
        seed = amount.seed * 1_000_000 + number
        if made and chance.random() < REPLACED:
            old = made[-1]  # it is still there: deletions come a block later
            made.append(Upload(old.name, old.kind, seed))
            continue
        kind = KINDS[number % len(KINDS)]
        made.append(Upload(f"notes-{number}.{kind}", kind, seed))
    return made


def _model_questions(amount: Amount, known: list[Fact], chance: random.Random) -> list[Question]:
    found = [chance.choice(known) for _ in range(amount.model_questions)]
    return [
        Question(number % amount.conversations, f"{fact.questions[0]} ({number})", "", stored=False, streamed=True)
        for number, fact in enumerate(found)
    ]


def _visits(amount: Amount, known: list[Fact], chance: random.Random) -> list[Visit]:
    visits = []
    for number in range(amount.visits):
        pages = tuple(chance.sample(PAGES, 3))
        kind = KINDS[number % len(KINDS)]
        seed = amount.seed * 2_000_000 + number
        upload = Upload(f"dropped-{number}.{kind}", kind, seed) if number % 2 == 0 else None
        fact = chance.choice(known)
        text = f"{fact.questions[-1]} [{number}]"
        question = Question(0, text, fact.expected, stored=True, streamed=True) if number % 3 == 0 else None
        visits.append(Visit(pages, upload, question, abrupt=number % 4 < 2))
    return visits


def _diagnostics(number: int) -> tuple[str, ...]:
    # Every tenth of a run of forty blocks has each kind of diagnostic once, so that no tenth is easier than another.
    diagnostics = ["memory", "history", "metrics"]
    if number % 4 == 1:
        diagnostics.append("census")
    if number % 4 == 2:
        diagnostics.append("tracing")
    if number % 4 == 3:
        diagnostics.append("trim")
    return tuple(diagnostics)


def _part(items: list[Item], number: int, parts: int) -> list[Item]:
    return items[len(items) * number // parts : len(items) * (number + 1) // parts]
