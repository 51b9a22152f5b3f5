"""What somebody may not read does not exist for them: every method of the library, the search, and what they tell."""

from __future__ import annotations

import inspect
import io
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from services.core.actor import SERVICE, AccessLevel, Actor, Role
from services.core.errors import ConflictError, ForbiddenError, MillpondError, NotFoundError
from services.knowledge.document_import import DocumentImporter, PreparedChunk, PreparedDocument
from services.knowledge.embedding import Embedder
from services.knowledge.library import Library
from services.knowledge.library_jobs import LibraryJobs
from services.knowledge.library_quotes import LibraryQuotes
from services.knowledge.library_reader import LibraryReader
from services.knowledge.retrieval import Retriever
from services.knowledge.retrieval.quoter import Quoter
from services.knowledge.store.chunks import ContentStore
from services.knowledge.types import DocumentStatus
from tests.actors import manager_of, person, reader_of, writer_of
from tests.knowledge.library_harness import LibraryHarness, pdf

SECRET = "zephyrine"  # in the names and texts of what the stranger may not read, and nowhere else
MISSING = 2**40
QUESTION = f"What is the {SECRET} made of?"
# Called at the start, by nobody in particular; or told to everybody, without anything about a document.
EXEMPT = {"finish_deletions", "forget_missing", "version", "retrieval_settings", "apply_retrieval_settings"}


@dataclass
class World:
    """Two collections: `secret` with a mail that brought a PDF, `own` with a text; and somebody for each."""

    harness: LibraryHarness
    importer: DocumentImporter
    retriever: Retriever
    quoter: Quoter
    own: int
    secret: int
    mail: int
    paper: int
    job: int
    chunk: int
    stranger: Actor
    insider: Actor

    @property
    def library(self) -> Library:
        return self.harness.library

    @property
    def missing(self) -> World:
        """The same with ids that never existed."""
        ids = dict.fromkeys(("secret", "mail", "paper", "job", "chunk"), MISSING)
        return World(**{**vars(self), **ids})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, embedder: Embedder) -> Iterator[World]:
    with LibraryHarness(tmp_path_factory.mktemp("rights"), embedder) as harness:
        yield made(harness, embedder)


def made(harness: LibraryHarness, embedder: Embedder) -> World:
    library = harness.library
    own = library.create_collection(SERVICE, "Mills").id
    secret = library.create_collection(SERVICE, f"The {SECRET} project").id
    harness.ready("mill.txt", "The mill grinds rye and barley. It was built from oak in 1850 by the river.", own)
    mail = harness.ready(f"{SECRET}.eml", mail_with_pdf(), secret)
    paper = library.relatives(SERVICE, mail.id, 5)[0][0]
    stranger = person(1, {own: AccessLevel.MANAGE})
    insider = person(2, {own: AccessLevel.MANAGE, secret: AccessLevel.MANAGE})
    retriever = Retriever(harness.database, harness.chunks, embedder, harness.index_manager)
    return World(
        harness,
        DocumentImporter(harness.database, harness.ingestion, embedder, harness.settings),
        retriever,
        Quoter(retriever, ContentStore(harness.database)),
        own,
        secret,
        mail.id,
        paper.id,
        paper.job_id or 0,
        library.reader.chunks(SERVICE, mail.id)[0].id,
        stranger,
        insider,
    )


def mail_with_pdf() -> bytes:
    mail = EmailMessage()
    mail["Subject"] = f"The {SECRET}"
    mail["From"] = "a@example.org"
    mail.set_content(f"The {SECRET} is made of glass and copper. It costs 48000 euros. See the enclosed paper.")
    mail.add_attachment(pdf(2), maintype="application", subtype="pdf", filename=f"{SECRET} paper.pdf")
    return mail.as_bytes()


def prepared(name: str) -> PreparedDocument:
    return PreparedDocument(name, [PreparedChunk("Some text that is here already.")])


def stream() -> io.BytesIO:
    return io.BytesIO(b"Something new about ponds.")


def search(world: World, who: Actor) -> Any:
    return world.retriever.search(who, QUESTION, collection_ids=(world.secret,))


def quotes(world: World, who: Actor) -> object:
    found = world.quoter.search(who, QUESTION, (world.secret,))
    return [quote.text for quote in world.quoter.quotes(who, QUESTION, found, 3).quotes]


READING: dict[str, Callable[[World, Actor], object]] = {
    "Library.collections": lambda w, who: w.library.collections(who),
    "Library.default_collection": lambda w, who: w.library.default_collection(who).id,
    "Library.is_default": lambda w, who: w.library.is_default(who, w.secret),
    "Library.documents": lambda w, who: w.library.documents(who),
    "Library.count_documents": lambda w, who: w.library.count_documents(who, (w.secret,)),
    "Library.document": lambda w, who: w.library.document(who, w.paper),
    "Library.with_attachments": lambda w, who: w.library.with_attachments(who, [w.mail]),
    "Library.deletable": lambda w, who: w.library.deletable(who, [w.mail]),
    "Library.relatives": lambda w, who: w.library.relatives(who, w.mail, 5),
    "Library.counts": lambda w, who: w.library.counts(who),
    "LibraryJobs.recent": lambda w, who: w.library.jobs.recent(who),
    "LibraryJobs.changeable": lambda w, who: w.library.jobs.changeable(who, w.library.jobs.recent(SERVICE)),
    "LibraryReader.chunks": lambda w, who: w.library.reader.chunks(who, w.mail),
    "LibraryReader.chunk": lambda w, who: w.library.reader.chunk(who, w.chunk),
    "LibraryReader.sections": lambda w, who: w.library.reader.sections(who, w.mail),
    "LibraryReader.topics": lambda w, who: w.library.reader.topics(who),
    "LibraryReader.locate": lambda w, who: w.library.reader.locate(who, w.mail, "made of glass and copper"),
    "LibraryReader.original": lambda w, who: w.library.reader.original(who, w.paper),
    "LibraryReader.has_original": lambda w, who: w.library.reader.has_original(who, w.paper),
    "LibraryReader.page_image": lambda w, who: len(w.library.reader.page_image(who, w.paper, 1, 200)) > 100,
    "LibraryQuotes.of": lambda w, who: w.library.quotes.of(who, [w.mail]),
    "LibraryQuotes.in_collection": lambda w, who: w.library.quotes.in_collection(who, w.secret),
    "LibraryQuotes.unreadable": lambda w, who: len(w.library.quotes.unreadable(who, {w.mail})),
    "LibraryQuotes.of_deleted": lambda w, who: w.library.quotes.of_deleted(who),
    "Retriever.search": lambda w, who: search(w, who).hits,
    "Quoter.search": lambda w, who: w.quoter.search(who, "Summarise the documents", (w.secret,)).hits,
    "Quoter.quotes": quotes,
}
CHANGING: dict[str, Callable[[World, Actor], object]] = {
    "Library.rename_collection": lambda w, who: w.library.rename_collection(who, w.secret, f"{SECRET} again"),
    "Library.delete_collection": lambda w, who: w.library.delete_collection(who, w.secret),
    "Library.open_upload": lambda w, who: w.library.open_upload(who, "new.txt", w.secret),
    "Library.add": lambda w, who: w.library.add(who, stream(), "new.txt", w.secret),
    "Library.set_enabled": lambda w, who: w.library.set_enabled(who, [w.mail], False),
    "Library.move": lambda w, who: w.library.move(who, [w.mail], w.own),
    "Library.delete": lambda w, who: w.library.delete(who, [w.mail]),
    "LibraryJobs.cancel": lambda w, who: w.library.jobs.cancel(who, w.job),
    "LibraryJobs.retry": lambda w, who: w.library.jobs.retry(who, w.job),
    "LibraryJobs.remove": lambda w, who: w.library.jobs.remove(who, w.job),
    "LibraryJobs.rechunk": lambda w, who: w.library.jobs.rechunk(who, [w.mail], 100, 10),
    "LibraryJobs.reembed": lambda w, who: w.library.jobs.reembed(who, [w.mail]),
    "LibraryJobs.reread": lambda w, who: w.library.jobs.reread(who, [w.mail]),
    "DocumentImporter.add": lambda w, who: w.importer.add(who, prepared("new"), w.secret).duplicate,
}
# These make something of one's own, or look at one's own alone: tested below; those of scans in `recognition`.
ALONE = {
    "Library.create_collection",
    "LibraryQuotes.erase_deleted",
    "LibraryJobs.reread_pictures",
    "LibraryReader.recognized_pages",
}


def outcome(call: Callable[[World, Actor], object], world: World, who: Actor) -> str:
    """Return what somebody is told, word by word: the result, or the error with its hint."""
    try:
        return repr(call(world, who))
    except MillpondError as error:
        return repr((type(error), error.message, error.hint))


@pytest.mark.parametrize("kind", [Library, LibraryJobs, LibraryReader, LibraryQuotes, Retriever, Quoter])
def test_every_method_asks_who_calls_it(kind: type) -> None:
    """A new method that does not take an actor, or is in no table of this test, would be a way around the rights."""
    own = {"clear_caches", "measure_trust", "measured_trust", "memory_report", "quotes"} if kind is Retriever else set()
    for name, method in inspect.getmembers(kind, inspect.isfunction):
        if name.startswith("_") or name in EXEMPT | own:
            continue
        assert list(inspect.signature(method).parameters)[1] == "actor", f"{kind.__name__}.{name}"
        assert f"{kind.__name__}.{name}" in READING.keys() | CHANGING.keys() | ALONE


@pytest.mark.parametrize("name", [*READING, *(name for name in CHANGING if name not in READING)])
def test_what_may_not_be_read_is_told_like_what_does_not_exist(world: World, name: str) -> None:
    """Another answer to the id of a secret document than to one that never existed would tell that it exists."""
    call = (READING | CHANGING)[name]
    told = outcome(call, world, world.stranger)
    assert told == outcome(call, world.missing, world.stranger)
    assert SECRET not in told
    assert world.library.document(SERVICE, world.mail).enabled
    assert world.library.document(SERVICE, world.mail).collection_id == world.secret


@pytest.mark.parametrize("name", READING)
def test_who_may_read_is_told_everything(world: World, name: str) -> None:
    """The tables must show a difference, or the test before would pass with methods that find nothing for anybody."""
    call = READING[name]
    if name in {"Library.is_default", "Library.default_collection", "LibraryQuotes.of", "LibraryQuotes.of_deleted"}:
        pytest.skip("the same for both")
    if name == "LibraryQuotes.in_collection":
        assert "NotFound" in outcome(call, world, world.stranger)
    assert outcome(call, world, world.insider) != outcome(call, world, world.stranger)


@pytest.mark.parametrize("name", CHANGING)
def test_who_may_read_alone_changes_nothing_and_is_told_so(world: World, name: str) -> None:
    """A reader gets words that say what is missing, and everything stays as it is."""
    reader = reader_of(world.own, world.secret)
    before = world.library.documents(SERVICE)
    with pytest.raises(ForbiddenError):
        CHANGING[name](world, reader)
    assert world.library.documents(SERVICE) == before


def test_collections_are_renamed_and_deleted_by_who_manages_them(world: World) -> None:
    """Adding documents is not a right to take the collection away, or to show another name to everybody."""
    writer = writer_of(world.secret)
    with pytest.raises(ForbiddenError, match="do not manage"):
        world.library.delete_collection(writer, world.secret)
    with pytest.raises(ForbiddenError, match="do not manage"):
        world.library.rename_collection(writer, world.secret, "Other")


def test_a_name_tells_nothing_of_collections_that_one_may_not_read(world: World) -> None:
    """An error about a name that is taken would tell that there is a collection of that name."""
    name = f"The {SECRET} project"
    made_by_stranger = world.library.create_collection(world.stranger, name)
    try:
        assert made_by_stranger.name == name
        mine = person(1, {made_by_stranger.id: AccessLevel.MANAGE})
        assert [each.name for each in world.library.collections(mine)] == [name]
        with pytest.raises(ConflictError):
            world.library.create_collection(mine, name)
        with pytest.raises(ConflictError):
            world.library.create_collection(world.insider, name)
        document = world.library.add(mine, stream(), "name.txt", made_by_stranger.id).document
        assert document.collection == name
        assert document.added_by == 1
    finally:
        world.library.delete_collection(SERVICE, made_by_stranger.id)


def test_a_duplicate_elsewhere_is_taken_in_as_new(world: World) -> None:
    """ "Already there", or chunks that are there at once, would tell that another collection has the file."""
    original = world.library.reader.original(SERVICE, world.paper)[0].read_bytes()
    intake = world.library.add(world.stranger, io.BytesIO(original), "mine.pdf", world.own)
    try:
        assert not intake.duplicate
        claim = world.harness.ingestion.job_store.queued() or world.library.jobs.recent(world.stranger)
        assert claim
        world.harness.idle()
        ready = world.library.document(world.stranger, intake.document.id)
        assert ready.status is DocumentStatus.READY
        assert world.library.relatives(world.stranger, ready.id, 5) == ([], [])
    finally:
        world.library.delete(SERVICE, [intake.document.id])


def test_chunks_are_copied_from_readable_collections_alone(tmp_path: Path, embedder: Embedder) -> None:
    """A file whose chunks are copied from a secret one is ready in no time: a way to ask whether it is there."""
    with LibraryHarness(tmp_path, embedder) as harness:
        harness.ready("a.txt", "A text that two collections have, word by word.")
        other = harness.library.create_collection(SERVICE, "other").id
        known = harness.library.default_collection(SERVICE).id
        sources: dict[int, int | None] = {}
        claim = harness.ingestion.job_store.claim

        def watched(fingerprint: str, job_id: int) -> Any:
            claimed = claim(fingerprint, job_id)
            sources[job_id] = claimed.source if claimed else None
            return claimed

        harness.ingestion.job_store.claim = watched  # type: ignore[method-assign]
        jobs = []
        for who in (writer_of(other), person(3, {known: AccessLevel.READ, other: AccessLevel.WRITE})):
            data = io.BytesIO(b"A text that two collections have, word by word.")
            document = harness.library.add(who, data, "b.txt", other).document
            harness.idle()
            jobs.append(document.job_id or 0)
            harness.library.delete(SERVICE, [document.id])
        assert sources[jobs[0]] is None
        assert sources[jobs[1]] is not None


def test_moving_needs_rights_at_both_ends(world: World) -> None:
    """Whoever may not add to a collection must not move into it; whoever may not delete must not move out of it."""
    library = world.library
    document = world.harness.ready("moving.txt", "A text that is moved about.", world.own)
    with pytest.raises(ForbiddenError):
        library.move(
            person(4, {world.own: AccessLevel.WRITE, world.secret: AccessLevel.READ}), [document.id], world.secret
        )
    with pytest.raises(ForbiddenError):
        library.move(
            person(4, {world.own: AccessLevel.READ, world.secret: AccessLevel.WRITE}), [document.id], world.secret
        )
    with pytest.raises(NotFoundError):
        library.move(writer_of(world.own), [document.id], world.secret)
    library.move(writer_of(world.own, world.secret), [document.id], world.secret)
    assert library.document(SERVICE, document.id).collection_id == world.secret
    library.delete(SERVICE, [document.id])


def test_an_attachment_that_was_moved_out_of_reach_is_not_deleted_with_its_mail(
    tmp_path: Path, embedder: Embedder
) -> None:
    """Deleting one's own mail must not take documents out of a collection in which one may change nothing."""
    with LibraryHarness(tmp_path, embedder) as harness:
        library = harness.library
        own, other = (library.create_collection(SERVICE, name).id for name in ("own", "other"))
        mail = harness.ready("a.eml", mail_with_pdf(), own)
        paper = library.relatives(SERVICE, mail.id, 5)[0][0]
        library.move(SERVICE, [paper.id], other)
        writer = writer_of(own)
        assert [each.id for each in library.with_attachments(writer, [mail.id])] == [mail.id]
        assert library.delete(writer, [mail.id]).documents == 1
        assert library.document(SERVICE, paper.id).collection_id == other
        harness.check()


def test_who_makes_a_collection_manages_it_and_its_grants_go_with_it(tmp_path: Path, embedder: Embedder) -> None:
    """Without the call of the directory of grants the creator would not see what they have made."""
    calls: list[tuple[str, int | None, int]] = []

    class Grants:
        def on_collection_created(self, actor: Actor, collection_id: int) -> None:
            calls.append(("created", actor.person_id, collection_id))

        def on_collection_deleted(self, collection_id: int) -> None:
            calls.append(("deleted", None, collection_id))

    with LibraryHarness(tmp_path, embedder, start=False) as harness:
        harness.library.grants = Grants()
        made_collection = harness.library.create_collection(reader_of(), "new").id
        harness.library.delete_collection(manager_of(made_collection), made_collection)
        assert calls == [("created", 7, made_collection), ("deleted", None, made_collection)]


def test_totals_are_of_what_one_may_read_and_of_everything_for_operators(world: World) -> None:
    """The status bar must not tell how many documents others have; who steers the service sees how much there is."""
    everything = world.library.counts(SERVICE)
    assert world.library.counts(world.stranger).documents == 1
    assert world.library.counts(person(5, {}, Role.OPERATOR)) == everything
    assert world.library.counts(person(5, {})).documents == 0
    assert everything.documents == 3


def test_a_word_is_suggested_only_if_it_stands_in_a_readable_document(world: World) -> None:
    """A correction would show a word of a secret document to whoever types something like it."""
    typed = "What is the zephyrnie made of?"
    assert [each.read for each in world.retriever.search(world.insider, typed).corrections] == [SECRET]
    assert world.retriever.search(world.stranger, typed).corrections == ()
    assert world.retriever.search(reader_of(), typed).corrections == ()


def test_a_word_of_a_secret_document_is_corrected_like_one_that_nobody_has(world: World) -> None:
    """Not correcting a word because a secret document has it would tell that it is there."""
    near = world.harness.ready("near.txt", "The zephyrune is a small boat.", world.own)
    try:
        found = world.retriever.search(world.stranger, f"{SECRET}?")
        assert [(each.typed, each.read) for each in found.corrections] == [(SECRET, "zephyrune")]
        assert world.retriever.search(world.insider, f"{SECRET}?").corrections == ()
    finally:
        world.library.delete(SERVICE, [near.id])


def test_nothing_is_searched_for_who_may_read_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty set of collections must not be taken for "all of them"."""
    assert world.retriever.search(reader_of(), "What does the mill grind?").hits == ()
    assert world.retriever.search(world.stranger, "What does the mill grind?").hits
    assert world.library.documents(reader_of()) == []


def test_a_token_for_reading_reads_and_changes_nothing(world: World) -> None:
    """The limits of a token hold whatever its person may do."""
    from dataclasses import replace

    from services.core.actor import SCOPES

    token = replace(world.insider, scopes=SCOPES["read"])
    assert world.library.document(token, world.mail).name == f"{SECRET}.eml"
    with pytest.raises(ForbiddenError):
        world.library.delete(token, [world.mail])
    with pytest.raises(ForbiddenError):
        world.library.create_collection(token, "x")


def test_whatever_comes_back_belongs_to_a_readable_collection(tmp_path: Path, embedder: Embedder) -> None:
    """Random documents, rights and questions: nothing of another collection is in any answer, list or count."""
    chance = random.Random(4)
    words = ["lantern", "harbour", "bridge", "quarry", "orchard", "granite", "barley", "heron", "kettle", "saddle"]
    with LibraryHarness(tmp_path, embedder) as harness:
        library = harness.library
        groups = [library.create_collection(SERVICE, f"group {number}").id for number in range(5)]
        home: dict[int, int] = {}
        for number in range(30):
            text = " ".join(
                f"The {chance.choice(words)} near the {chance.choice(words)} has number {number}." for _ in "abc"
            )
            group = chance.choice(groups)
            home[harness.add(f"{number}.txt", text, group).document.id] = group
        harness.idle()
        retriever = Retriever(harness.database, harness.chunks, embedder, harness.index_manager)
        quoter = Quoter(retriever, ContentStore(harness.database))
        for turn in range(60):
            levels = {group: chance.choice(list(AccessLevel)) for group in groups}
            who = person(turn, levels)
            may = {group for group, level in levels.items() if level >= AccessLevel.READ}
            asked = chance.sample(groups, chance.randrange(3))
            question = f"{chance.choice(['Where is', 'List all', 'Summarise'])} the {chance.choice(words)}"
            found = quoter.search(who, question, asked)
            given = quoter.quotes(who, question, found, 3)
            expected = may & set(asked) if asked else may
            assert {home[hit.document_id] for hit in (*found.hits, *given.hits)} <= expected
            assert {home[each.id] for each in library.documents(who, asked, limit=100)} <= expected
            assert library.count_documents(who) == sum(group in may for group in home.values())
            assert {home[job.document_id] for job in library.jobs.recent(who)} <= may
            document = chance.choice(list(home))
            readable = home[document] in may
            assert bool(library.reader.chunks(who, document)) is readable
            library.set_enabled(who, [document] if levels[home[document]] != AccessLevel.READ else [], True)
