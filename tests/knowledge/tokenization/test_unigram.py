"""Tokens of the multilingual model: those of the reference, in place, from files that are mapped."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.knowledge.embedding.packed_file import PackedFile
from services.knowledge.tokenization.loader import open_tokenizer
from services.knowledge.tokenization.pieces import write_pieces
from services.knowledge.tokenization.unigram import UnigramTokenizer
from tests.knowledge.tokenization.references import Reference, real_file, small_vocabulary
from tests.knowledge.tokenization.texts import SCRIPTS, texts

SPECIAL = {"bos": 0, "eos": 2, "unknown": 3}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> UnigramTokenizer:
    folder = tmp_path_factory.mktemp("pieces")
    pieces, scores, normalised = small_vocabulary()
    write_pieces(folder, pieces, scores, SPECIAL, normalised)
    tokenizer = open_tokenizer(folder)
    assert isinstance(tokenizer, UnigramTokenizer)
    return tokenizer


@pytest.fixture(scope="module")
def reference() -> Reference:
    pieces, scores, normalised = small_vocabulary()
    return Reference(pieces, scores, SPECIAL["unknown"], normalised)


@settings(max_examples=400, deadline=None)
@given(st.text(alphabet="themilpondsr水磨坊é., \n\u200b\x07１x❄\u0301ĳ▁", max_size=80))
def test_tokens_are_those_of_the_reference(small: UnigramTokenizer, reference: Reference, text: str) -> None:
    """The best pieces, unknown runs as one token, blanks and marks as the library takes them."""
    assert small.ids([text]) == [[0, *reference.ids(text), 2]]
    assert small.counts([text]) == [len(reference.ids(text))]


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="themilpondsr水磨坊é., \n\u200b\x07１x❄\u0301ĳ", max_size=80))
def test_spans_lie_one_behind_the_other_where_their_text_is(small: UnigramTokenizer, text: str) -> None:
    """Chunks are cut at them: nothing between two of them but what the model does not read."""
    spans = small.spans(text)
    assert len(spans) == small.counts([text])[0]
    for before, after in itertools.pairwise(spans):
        assert before.end <= after.start or before.start == after.start
    for span in spans:
        assert 0 <= span.start <= span.end <= len(text)
    read = "".join(text[span.start : span.end] for span in spans)
    assert (
        [one for one in read if not one.isspace()]
        == [one for one in text if not one.isspace() and one not in "\u200b\x07"]
        or "\u0301" in text
        or "ĳ" in text
    )


def test_spans_tell_words(small: UnigramTokenizer) -> None:
    """The mark of a word belongs to its first letters; by itself it is as long as nothing."""
    found = small.spans("the  millpond\n磨坊")
    assert [("the  millpond\n磨坊"[span.start : span.end], span.word) for span in found] == [
        ("the", 0),
        ("mill", 1),
        ("pond", 1),
        ("", 2),
        ("磨", 2),
        ("坊", 2),
    ]


def test_names_of_special_tokens_in_a_text_are_text(small: UnigramTokenizer) -> None:
    """Nobody can end a text for the model by writing the token for it."""
    assert not {0, 1, 2} & set(small.ids(["</s> <s> <pad>"])[0][1:-1])


def test_most_tokens_are_kept_to(tmp_path: Path) -> None:
    """What is read is cut, what is counted is not."""
    pieces, scores, normalised = small_vocabulary()
    write_pieces(tmp_path, pieces, scores, SPECIAL, normalised)
    tokenizer = UnigramTokenizer(tmp_path, most=6)
    (ids,) = tokenizer.ids(["the mill " * 50])
    assert len(ids) == 6
    assert ids[-1] == SPECIAL["eos"]
    assert tokenizer.counts(["the mill " * 50]) == [100]


def test_the_unknown_share_is_that_of_tokens_with_letters(small: UnigramTokenizer) -> None:
    """Each word's mark is known: it must not make a script look half known."""
    assert small.unknown_share("ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ") == 1.0
    assert small.unknown_share("the mill") == 0.0
    assert small.unknown_share("") == 0.0
    assert 0 < small.unknown_share("the ᏣᎳᎩ") < 1


def test_many_threads_get_the_same(small: UnigramTokenizer) -> None:
    """The words that are kept are shared by threads."""
    asked = [f"the mill{number % 7} pond水磨 {number}" for number in range(200)]
    expected, found = small.ids(asked), []

    def run() -> None:
        found.append(small.ids(asked))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4


def test_what_is_held_is_told(small: UnigramTokenizer) -> None:
    """The files by their sizes, and the words that are kept, of which there is a limit."""
    small.counts([" ".join(f"w{number}" for number in range(9000))])
    files, objects = small.memory()
    assert {Path(path).name for path, _size in files} == {"pieces.marisa", "values.bin"}
    assert 2_000_000 < objects < 4_000_000


@pytest.mark.skipif(real_file() is None, reason="the multilingual model is not installed")
def test_the_real_vocabulary_reads_thirty_scripts_as_the_reference(tmp_path: Path) -> None:
    """Texts of many scripts, disturbed in many ways; 10,000 of them were compared once."""
    file = real_file()
    assert file is not None
    vocabulary = PackedFile(file).vocabulary()
    special = {"bos": vocabulary.bos, "eos": vocabulary.eos, "unknown": vocabulary.unknown}
    write_pieces(tmp_path, vocabulary.pieces, vocabulary.scores.tolist(), special, vocabulary.normalised)
    tokenizer = UnigramTokenizer(tmp_path)
    reference = Reference(vocabulary.pieces, vocabulary.scores.tolist(), vocabulary.unknown, vocabulary.normalised)
    asked = list(texts(20 * len(SCRIPTS), vocabulary.pieces))
    differing = [text for text in asked if tokenizer.ids([text])[0][1:-1] != reference.ids(text)]
    assert differing == []
