from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.knowledge.store.lexical import LexicalStore
from services.knowledge.text.terms import query_terms
from tests.knowledge.stores import IndexedStore


class NoEmbedder:
    """Vectors are of no interest here."""

    dimension = 2
    fingerprint = "none"

    def embed_chunks(self, texts):
        return np.tile(np.array([1, 0], np.float32), (len(texts), 1))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[IndexedStore]:
    store = IndexedStore(tmp_path, NoEmbedder())
    yield store
    store.close()


def names(store: IndexedStore, query: str, **how) -> list[str]:
    found = LexicalStore(store.database).find(query_terms(query), 10, **how)
    rows = store.chunks.hits(list(found))
    return [rows[chunk].document for chunk in found]


def test_best_first_with_positive_scores(store: IndexedStore) -> None:
    """The chunk with more of the rarer words comes first; chunks without any are not found."""
    store.add_all({"mill": "the old mill by the pond", "pond": "the pond is deep", "hill": "a hill"})
    assert names(store, "old pond") == ["mill", "pond"]
    scores = [score for _chunk, score in LexicalStore(store.database).search(["old", "pond"], 10)]
    assert scores == sorted(scores, reverse=True)
    assert min(scores) > 0


def test_a_single_character_is_found_wherever_it_stands(store: IndexedStore) -> None:
    """One Chinese character finds texts that have it in the beginning, in the middle and at the end of a run."""
    store.add_all({"begin": "水很深", "middle": "深水很冷", "end": "这是水", "none": "山很高"})
    assert sorted(names(store, "水")) == ["begin", "end", "middle"]


def test_only_enabled_documents_of_the_collections(store: IndexedStore) -> None:
    """What is switched off or lies in another collection is not found, even if it fills the first candidates."""
    for number in range(60):
        store.add(f"off {number}", ["pond pond pond"], collection=2)
    store.add("on", ["a pond among many other words that make it a weak match for the question"], collection=1)
    assert names(store, "pond", groups=[1]) == ["on"]
    store.set_enabled("on", False)
    assert names(store, "pond", groups=[1]) == []
    assert names(store, "pond", groups=[]) == []
    assert len(names(store, "pond")) == 10


def test_frequent_terms_are_looked_up_only_when_nothing_else_is_left(store: IndexedStore) -> None:
    """Under a budget the rare term decides; a query of frequent terms alone finds chunks that have all of them."""
    store.add_all({f"filler {number}": "the water of the lake" for number in range(30)})
    store.add_all({"seal": "the seal", "both": "the water and the mud"})
    assert names(store, "the seal", most_postings=5) == ["seal"]
    assert "both" in names(store, "the water mud", most_postings=5)
    found = names(store, "the water", most_postings=5)
    assert len(found) == 10
    assert "seal" not in found


def test_scores_do_not_depend_on_which_terms_were_looked_up(store: IndexedStore) -> None:
    """A chunk found by its rare term is scored by all terms of the query."""
    store.add_all({f"filler {number}": "the water" for number in range(30)})
    chunk = store.add("seal", ["the seal in the water"])[0]
    lexical = LexicalStore(store.database)
    few = lexical.find(["seal", "water"], 10, most_postings=5)[chunk]
    assert few == lexical.find(["seal", "water"], 10)[chunk] == lexical.matches([chunk], ["seal", "water"])[chunk]
    assert set(few) == {"seal", "water"}


def test_new_documents_are_found_at_once(store: IndexedStore) -> None:
    """A word that was asked for in vain is found once a document has it: its absence is not remembered."""
    lexical = LexicalStore(store.database)
    store.add("a", ["lake"])
    assert lexical.search(["heron"], 5) == []
    chunk = store.add("b", ["heron"])[0]
    assert [found for found, _score in lexical.search(["heron"], 5)] == [chunk]


def test_rare_words_say_more(store: IndexedStore) -> None:
    """The weight of a term falls with the number of chunks that have it and stays above zero."""
    store.add_all({str(number): "water" + (" mud" if number else "") for number in range(4)})
    idf = LexicalStore(store.database).idf(["water", "mud", "gold"])
    assert idf["gold"] > idf["mud"] > idf["water"] > 0


def test_an_empty_store_finds_nothing(store: IndexedStore) -> None:
    """Before the first document there are no hits and no errors."""
    assert LexicalStore(store.database).search(["water"], 5) == []
    assert LexicalStore(store.database).search([], 5) == []


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.text(min_size=1, max_size=12) | st.sampled_from(['"', "*", "NEAR(a b)", "terms:a", "a OR b", "^a"])))
def test_no_term_is_read_as_a_query(store: IndexedStore, terms: list[str]) -> None:
    """Whatever stands in a term is searched for literally and never breaks the query."""
    if not store.count():
        store.add("a", ["a b"])
    lexical = LexicalStore(store.database)
    expected = {"a", "b"} & set(terms)  # terms come in lower case
    assert bool(lexical.search(terms, 5)) == bool(expected)
