from __future__ import annotations

import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.knowledge.text.terms import is_unspaced, query_terms, terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Pond, 1987", ["the", "pond", "1987"]),
        ("GB18030", ["gb18030"]),
        ("A-12", ["a", "12", "a12"]),
        ("3.5 t", ["3", "5", "35", "t"]),
        ("1,200", ["1", "200", "1200"]),
        ("U.S.", ["u", "s", "us"]),
        ("Darwin's Darwin\u2019s", ["darwin", "darwin"]),
        ("snake_case", ["snake", "case"]),
        ("naïve ＡＢＣ ﬁne", ["naive", "abc", "fine"]),
        ("Ёлка", ["елка"]),
        ("हिन्दी", ["हिन्दी"]),
        ("", []),
        ("— … !?", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    """Words and numbers become folded terms that still can be told apart."""
    assert terms(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("中国的GB18030标准", ["中国", "国的", "的", "gb18030", "标准", "准"]),
        ("水", ["水"]),
        ("ภาษา", ["ภา", "าษ", "ษา", "า"]),
        ("カタカナ", ["カタ", "タカ", "カナ", "ナ"]),
        ("ｶﾀｶﾅ", ["カタ", "タカ", "カナ", "ナ"]),
        ("がが", ["がが", "が"]),
        ("한국어는", ["한국", "국어", "어는", "는"]),
        ("𠀀𠀁", ["𠀀𠀁", "𠀁"]),
    ],
)
def test_scripts_without_spaces(text: str, expected: list[str]) -> None:
    """Where nothing separates words, pairs of characters stand for them, and every character begins a term."""
    assert terms(text) == expected


def test_query_terms_leave_out_what_only_completes_an_index() -> None:
    """A query is searched for its pairs; a single character counts when it is all there is."""
    assert query_terms("中国 水 中国") == ["中国", "水"]
    assert [is_unspaced(term) for term in ("中国", "水", "water", "18")] == [True, True, False, False]


@given(st.text())
def test_terms_hold_nothing_that_a_query_language_knows(text: str) -> None:
    """Whatever the text, a term consists of letters, digits and marks, and is found again in itself."""
    for term in terms(text):
        assert term
        assert all(unicodedata.category(character)[0] in "LMN" for character in term)
        assert not any("A" <= character <= "Z" for character in term)


def test_long_runs_are_cut() -> None:
    """Encoded data in a text does not become terms of any length."""
    assert max(map(len, terms("ab" * 5000))) <= 64


def test_import_is_light() -> None:
    """The parser's child process can use it without paying for numpy, a database or a model."""
    code = "import sys, services.knowledge.text.terms; print({'numpy', 'sqlalchemy'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
