from __future__ import annotations

import unicodedata

import pytest

from services.knowledge.text.folding import fold
from services.knowledge.text.terms import terms
from services.knowledge.text.unspaced import is_unit, is_unspaced, units


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("水车", "水|车"),
        ("がくせい", "が|く|せ|い"),
        ("한국어", "한|국|어"),
        ("ภาษาไทย", "ภา|ษา|ไท|ย"),
        ("เครื่องสีข้าว", "เค|รื่|อ|ง|สี|ข้า|ว"),
        ("ພາສາລາວ", "ພາ|ສາ|ລາ|ວ"),
        ("မြန်မာ", "မြန်|မာ"),
        ("ရေအား", "ရေ|အား"),
        ("ភាសាខ្មែរ", "ភា|សា|ខ្មែ|រ"),
        ("ꦗꦮ", "ꦗ|ꦮ"),
    ],
)
def test_units_keep_their_signs(word: str, expected: str) -> None:
    """Characters one by one; vowel signs, tones and stacked consonants stay with the letter that they belong to."""
    assert units(fold(word)) == [fold(unit) for unit in expected.split("|")]


@pytest.mark.parametrize("text", ["น้ำ", "เป็นที่รู้จัก", "မြန်မာနိုင်ငံ", "ព្រះរាជាណាចក្រកម្ពុជា", "ປະເທດລາວ", "ᨲᩩ᩠ᩅᨵᩢᨾ᩠ᨾ᩼"])
def test_no_term_begins_with_a_sign(text: str) -> None:
    """A pair that began with a tone mark or a vowel sign would be a piece of a letter."""
    assert terms(text)
    assert not [term for term in terms(text) if unicodedata.category(term[0])[0] == "M"]


def test_a_word_is_found_within_a_longer_run() -> None:
    """Nothing but the text around it is different: all pairs of a word are among those of the sentence."""
    for word, sentence in [
        ("โรงสี", "หมู่บ้านนี้มีโรงสีเก่าแก่"),
        ("မြန်မာ", "သူသည်မြန်မာစာကိုဖတ်သည်"),
        ("កម្ពុជា", "ប្រទេសកម្ពុជាមានទន្លេធំ"),
        ("ລາວ", "ຂ້ອຍຮຽນພາສາລາວຢູ່ໂຮງຮຽນ"),
    ]:
        assert set(terms(word)[:-1]) <= set(terms(sentence))


def test_single_units() -> None:
    """One unit is the beginning of all pairs with it; pairs, words and numbers are not."""
    assert [is_unit(term) for term in ("水", "ข้า", "မြန်", "水车", "water", "1")] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]
    assert [is_unspaced(term) for term in ("中国", "水", "water", "18")] == [True, True, False, False]
