from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.core.actor import SERVICE
from services.core.errors import BadInputError, TooLargeError
from services.knowledge.retrieval import Retriever
from services.knowledge.types import RetrievalSettings
from tests.knowledge.corpora import PAIRS
from tests.knowledge.encoders import Multilingual
from tests.knowledge.stores import IndexedStore


@pytest.fixture
def store(tmp_path: Path, embedder) -> Iterator[IndexedStore]:
    store = IndexedStore(tmp_path, embedder)
    for script in ("LATIN", "CJK"):
        for number, (first, second) in enumerate(PAIRS[script]):
            store.add(f"{script} {number}", [f"{first} {second}"], collection=1 if script == "LATIN" else 2)
    yield store
    store.close()


ANSWERED = [
    ("Where do bees live?", "LATIN 0"),
    ("Which medicine did the patient get?", "LATIN 2"),
    ("What does one need for lentil soup?", "LATIN 6"),
    ("Who scored in the last minute?", "LATIN 8"),
    ("What came out of the volcano?", "LATIN 11"),
    ("蜂巢里有几只蜂王？", "CJK 0"),
    ("医生开了什么药给病人？", "CJK 2"),
    ("谁在最后一分钟进球？", "CJK 8"),
    ("火山喷出了什么？", "CJK 11"),
]


@pytest.mark.parametrize(("question", "document"), ANSWERED)
def test_the_right_document_comes_first_and_is_held_for_relevant(
    store: IndexedStore, question: str, document: str
) -> None:
    """In both languages, with both in one corpus."""
    result = store.retriever.search(SERVICE, question)
    assert result.hits[0].document == document
    assert result.relevant
    assert [hit.score for hit in result.hits] == sorted((hit.score for hit in result.hits), reverse=True)
    assert all(0 <= hit.score <= 1 for hit in result.hits)


@pytest.mark.parametrize("question", ["How do I reset my e-mail password?", "怎样重置邮箱密码？", "zxqv 12345"])
def test_unrelated_questions_are_told_apart(store: IndexedStore, question: str) -> None:
    """What no document answers is not relevant, and nothing is quoted."""
    result = store.retriever.search(SERVICE, question)
    assert not result.relevant
    assert store.retriever.quotes(question, result) == []


def test_both_scores_are_shown_where_both_searches_took_part(store: IndexedStore) -> None:
    """English hits have a cosine and a BM25; Chinese ones no cosine, as the model was not asked."""
    english = store.retriever.search(SERVICE, "Where do bees make honey?").hits[0]
    assert english.dense_score is not None
    assert 0 < english.dense_score <= 1
    assert english.lexical_score is not None
    assert english.lexical_score > 0
    chinese = store.retriever.search(SERVICE, "蜜蜂酿蜂蜜")
    assert chinese.dense_trust == 0
    assert chinese.hits[0].dense_score is None
    assert chinese.embed_ms == 0


def test_a_chunk_that_only_one_search_finds_has_no_score_of_the_other(store: IndexedStore) -> None:
    """Other words for the same thing are found by meaning alone."""
    hit = store.retriever.search(SERVICE, "physician medication").hits[0]
    assert hit.document == "LATIN 2"
    assert hit.lexical_score is None


def test_a_model_that_knows_chinese_takes_part(tmp_path: Path) -> None:
    """With a multilingual model the Chinese question is answered by both searches."""
    store = IndexedStore(tmp_path, Multilingual())
    store.add("bees", ["蜜蜂采集花蜜，酿成蜂蜜。"])
    result = store.retriever.search(SERVICE, "蜜蜂酿蜂蜜")
    assert result.dense_trust == 1.0
    assert result.hits[0].dense_score is not None
    store.close()


def test_collections_limit_where_to_look(store: IndexedStore) -> None:
    """Only hits of the collections asked for, none from one that has no answer."""
    assert {
        hit.collection_id for hit in store.retriever.search(SERVICE, "bees honey 蜂蜜", collection_ids=[2]).hits
    } == {2}
    assert (
        store.retriever.search(
            SERVICE, "bees honey", collection_ids=[2], settings=RetrievalSettings(threshold=0.2)
        ).hits
        == ()
    )


def test_documents_that_were_switched_off_since_do_not_come_back(store: IndexedStore) -> None:
    """The database has the last word, whatever the index still holds; the next hits move up."""
    store.set_enabled("LATIN 0", False)
    result = store.retriever.search(SERVICE, "Where do bees live?", k=3)
    assert "LATIN 0" not in {hit.document for hit in result.hits}
    assert len(result.hits) == 3


def test_k_threshold_and_weights(store: IndexedStore) -> None:
    """The settings of the call win over those applied to chat, and do what their names say."""
    chosen = RetrievalSettings(k=2, threshold=0.0)
    retriever = Retriever(store.database, store.chunks, store.embedder, store.index_manager, lambda: chosen)
    assert len(retriever.search(SERVICE, "bees and honey").hits) == 2
    assert len(retriever.search(SERVICE, "bees and honey", k=4).hits) == 4
    strict = retriever.search(SERVICE, "bees and honey", settings=RetrievalSettings(k=9, threshold=0.3))
    assert {hit.document for hit in strict.hits} == {"LATIN 0"}
    lexical = retriever.search(SERVICE, "bees physician", settings=RetrievalSettings(dense_weight=0.0))
    assert [hit.document for hit in lexical.hits] == ["LATIN 0"]
    dense = retriever.search(SERVICE, "bees physician", settings=RetrievalSettings(lexical_weight=0.0))
    assert dense.hits[0].score == pytest.approx(dense.hits[0].dense_score)
    assert (
        retriever.search(SERVICE, "蜜蜂", settings=RetrievalSettings(lexical_weight=0.0)).hits[0].dense_score
        is not None
    )


def test_a_second_passage_of_a_document_makes_room_for_other_documents(store: IndexedStore) -> None:
    """Among equal passages those of a new document come first."""
    store.add("herons", ["Herons fish in the mill pond.", "Herons fish in the mill pond!"])
    store.add("more herons", ["Herons fish in the mill pond?"])
    hits = store.retriever.search(SERVICE, "Where do herons fish?", k=3).hits
    assert {hit.document for hit in hits[:2]} == {"herons", "more herons"}
    assert hits[2].document == "herons"


def test_without_embedder_or_index_words_are_searched(store: IndexedStore) -> None:
    """The lexical search alone still answers."""
    result = Retriever(store.database, store.chunks, None, None).search(SERVICE, "Where do bees live?")
    assert result.hits[0].document == "LATIN 0"
    assert result.hits[0].dense_score is None
    store.index_manager.ready = False
    assert store.retriever.search(SERVICE, "Where do bees live?").hits[0].dense_score is None


@pytest.mark.parametrize("query", ["", " \n", "?!", "\x00", "\u200e"])
def test_an_empty_question_is_refused(store: IndexedStore, query: str) -> None:
    """Without a letter or digit there is nothing to search for."""
    with pytest.raises(BadInputError):
        store.retriever.search(SERVICE, query)


def test_a_question_of_any_length_is_bounded(store: IndexedStore) -> None:
    """100,000 characters are refused with their number; the longest question allowed is answered."""
    with pytest.raises(TooLargeError, match="100000"):
        store.retriever.search(SERVICE, "x" * 100_000)
    assert store.retriever.search(SERVICE, ("bees live " * 400).strip()).hits[0].document == "LATIN 0"


def test_an_empty_corpus_finds_nothing(tmp_path: Path, embedder) -> None:
    """Before the first document there are no hits, nothing relevant and no quotes."""
    store = IndexedStore(tmp_path, embedder)
    result = store.retriever.search(SERVICE, "Where do bees live?")
    assert (result.hits, result.relevant) == ((), False)
    assert store.retriever.quotes("Where do bees live?", result) == []
    store.close()


def test_one_document_is_enough_to_be_relevant(tmp_path: Path, embedder) -> None:
    """The weight of words is meaningful from the first document on, in both languages."""
    store = IndexedStore(tmp_path, embedder)
    store.add("mill", ["磨坊建于1850年，在池塘边。", "The mill by the pond was built in 1850."])
    for question in ("磨坊建于哪一年？", "When was the mill built?"):
        result = store.retriever.search(SERVICE, question)
        assert result.relevant
        assert "1850" in store.retriever.quotes(question, result)[0].text
    for question in ("怎样重置邮箱密码？", "How do I reset my password?"):
        assert not store.retriever.search(SERVICE, question).relevant
    store.close()


def test_an_error_of_the_lexical_search_reaches_the_caller(store: IndexedStore, monkeypatch) -> None:
    """What goes wrong in its thread is not lost."""

    def broken(*_args, **_how):
        raise RuntimeError("broken")

    monkeypatch.setattr(store.retriever.lexical, "find", broken)
    with pytest.raises(RuntimeError, match="broken"):
        store.retriever.search(SERVICE, "bees")


def test_many_threads_search_while_documents_come_in(store: IndexedStore) -> None:
    """Searches from several threads beside a writer all find their document."""
    wrong: list[str] = []

    def ask() -> None:
        for question, document in ANSWERED * 2:
            if store.retriever.search(SERVICE, question).hits[0].document != document:
                wrong.append(question)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(10):
        store.add(f"new {number}", [f"Ledger number {number} lists pencils and paper clips."])
    for thread in threads:
        thread.join()
    assert wrong == []


class Watched(Multilingual):
    """Knows whether ingestion is being held back."""

    urgencies = 0

    @contextmanager
    def urgent(self):
        self.urgencies += 1
        try:
            yield
        finally:
            self.urgencies -= 1


def test_ingestion_is_held_back_for_the_whole_search_and_all_of_the_quoting(tmp_path: Path, monkeypatch) -> None:
    """Not only while the question is embedded: the words, the index and the quotes' embeddings count, too."""
    embedder = Watched()
    store = IndexedStore(tmp_path, embedder)
    store.add("mill", ["The mill was built in 1850. The mill stands by the pond."])
    store.retriever.trust.scales.of(embedder, 1)  # before the first search, in batches that would be held back
    held: dict[str, list[int]] = {}

    def watch(owner: object, name: str) -> None:
        method = getattr(owner, name)

        def watched(*args, **how):
            held.setdefault(name, []).append(embedder.urgencies)
            return method(*args, **how)

        monkeypatch.setattr(owner, name, watched)

    watch(store.retriever.lexical, "find")
    watch(store.retriever.lexical, "idf")
    watch(store.index_manager.index, "search")
    watch(store.chunks, "hits")
    watch(embedder, "embed_query")
    result = store.retriever.search(SERVICE, "When was the mill built?")
    assert store.retriever.quotes("When was the mill built?", result)[0].text == "The mill was built in 1850."
    assert held.keys() == {"find", "idf", "search", "hits", "embed_query"}
    assert all(all(counts) for counts in held.values()), held
    with pytest.raises(BadInputError):
        store.retriever.search(SERVICE, "?")
    assert embedder.urgencies == 0
    store.close()
