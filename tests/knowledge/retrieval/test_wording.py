"""Questions find what they mean however they are written, with the bundled model and the real index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from services.core.actor import SERVICE
from tests.knowledge.stores import IndexedStore

DOCUMENTS = {
    "library": "圖書館開放時間：每週一至週五上午九點至下午五點。",
    "hours": "图书馆的体育设备不外借。",
    "boiler": "The boiler of the mill house is a condensing boiler. Its pressure is checked each spring.",
    "wide": "ＢＯＩＬＥＲ ＭＡＮＵＡＬ ＦＯＲ ＴＨＥ ＳＡＷＭＩＬＬ",
    "contract": "The lease may be renewed once. A renewal needs the owner's consent.",
    "kuendigung": "Eine Kündigung ist schriftlich einzureichen. Die Frist beträgt drei Monate.",
    "street": "Der Laden liegt in der Großen Straße neben dem Café.",
    "version": "Release WES-5.5.4 mends the sluice control. It was tested for 5 weeks with 4 mills and 5 gates.",
    "other version": "Release notes of 5.4.5: the sluice control starts faster.",
    "error": "Error E-1042: the pump has no water.",
    "error 43": "Error E-1043: the pump is too warm. The 1042 pumps in the field are not concerned.",
    "norm": "The works are certified by ISO 9001:2015.",
    "old norm": "The works were certified by ISO 9001:2008.",
    "opening": "The mill museum opens on 9 March 2026 with a feast.",
    "closing": "The mill museum closes on 3 September 2026 for repairs.",
    "meeting": "会议定于2026年3月19日召开。",
    "amount": "The repair of the wheel cost 1.200,50 euros.",
    "code": "def parseHttpHeader(line):\n    return line.split(':')\n",
    "phone": "The miller's telephone: +49 (30) 123 45 67.",
    "address": "The gate's controller has the address 192.168.10.1.",
    "gadget": "The zorblivick hums in the attic at night.",
    "neighbour": "The pump's controller has the address 192.168.101.1.",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, embedder) -> Iterator[IndexedStore]:
    store = IndexedStore(Path(tmp_path_factory.mktemp("wording")), embedder)
    for name, text in DOCUMENTS.items():
        store.add(name, [text])
    yield store
    store.close()


@pytest.mark.parametrize(
    ("question", "document"),
    [
        ("图书馆开放时间", "library"),
        ("圖書館開放時間", "library"),
        ("圖書館的體育設備", "hours"),
        ("ｂｏｉｌｅｒ manual", "wide"),
        ("sawmill manual", "wide"),
        ("When is the renewing of the lease possible?", "contract"),
        ("Kündigungen", "kuendigung"),
        ("GROSSE STRASSE CAFE", "street"),
        ("5.4.5", "other version"),
        ("What is in release 5.4.5?", "other version"),
        ("What is in release 5.5.4?", "version"),
        ("E-1042", "error"),
        ("e 1042", "error"),
        ("error E1043", "error 43"),
        ("iso 9001:2015", "norm"),
        ("ISO-9001:2008", "old norm"),
        ("2026-03-09", "opening"),
        ("What happens on March 9th, 2026?", "opening"),
        ("9.3.2026", "opening"),
        ("2026年3月9日", "opening"),
        ("3.9.2026", "closing"),
        ("19 March 2026", "meeting"),
        ("1200.5", "amount"),
        ("1,200.50", "amount"),
        ("parse http header", "code"),
        ("parse_http_header", "code"),
        ("+49 30 1234567", "phone"),
        ("192.168.10.1", "address"),
        ("192.168.101.1", "neighbour"),
    ],
)
def test_what_is_asked_is_found_first(store: IndexedStore, question: str, document: str) -> None:
    """Style, width, case, accents, endings, codes, numbers and dates: each in another form than the document's."""
    result = store.retriever.search(SERVICE, question)
    assert result.hits[0].document == document
    assert result.relevant
    assert result.corrections == ()


@pytest.mark.parametrize(
    ("question", "typed", "read", "document"),
    [
        ("Who checks the boyler?", "boyler", "boiler", "boiler"),
        ("boielr pressure", "boielr", "boiler", "boiler"),
        ("When does the meuseum open?", "meuseum", "museum", "opening"),
        ("Is it a kondencing one?", "kondencing", "condensing", "boiler"),
    ],
)
def test_typing_errors_are_forgiven_and_told(
    store: IndexedStore, question: str, typed: str, read: str, document: str
) -> None:
    """A word that no document has is read as the nearest one, in both searches; the result says so; quotes follow."""
    result = store.retriever.search(SERVICE, question)
    assert [(each.typed, each.read) for each in result.corrections] == [(typed, read)]
    assert result.hits[0].document == document
    assert read in result.terms


@pytest.mark.parametrize(
    "question", ["What is the capital of Mongolia?", "boiler of the mill", "Wer ist Goethe?", "abcd efgh"]
)
def test_words_that_are_no_errors_stay(store: IndexedStore, question: str) -> None:
    """Words that the documents have, names that the embedder knows, and what is near nothing are not corrected."""
    assert store.retriever.search(SERVICE, question).corrections == ()
    assert not store.retriever.search(SERVICE, "What is the capital of Mongolia?").relevant


def test_encoded_data_is_not_believed(tmp_path: Path, embedder) -> None:
    """No cosine makes hex or base64 an answer, and a question of that kind is answered by its exact words alone."""
    store = IndexedStore(tmp_path, embedder)
    hexes = " ".join(f"{number * 2654435761 % 2**64:016x}" for number in range(1, 40))
    store.add("keys", [hexes])
    store.add("mill", ["The mill by the pond was built in 1850 and grinds wheat."])
    wanted = hexes.split()[7]
    assert store.retriever.search(SERVICE, wanted).hits[0].document == "keys"
    assert store.retriever.search(SERVICE, wanted).dense_trust == 0
    hit = next(
        hit for hit in store.retriever.search(SERVICE, "Who built the mill?", k=5).hits if hit.document == "keys"
    )
    assert hit.score == 0
    assert not store.retriever.search(SERVICE, "deadbeefcafe0123456789ab").relevant
    store.close()


@pytest.mark.parametrize("question", ["7.4.5", "What is in release 5.4.6?"])
def test_a_code_that_no_document_has_is_not_answered_with_another(store: IndexedStore, question: str) -> None:
    """Parts of a version that happen to be the same are no answer."""
    assert not store.retriever.search(SERVICE, question).relevant


def test_a_word_that_came_in_since_it_was_counted_is_no_typing_error(
    store: IndexedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts may be a little old: the word was found to be its own correction, again and again, and the search ended
    with an internal error.
    """
    lexical = store.retriever.lexical
    count = lexical.frequencies

    def a_little_old(terms: Iterable[str]) -> dict[str, int]:
        return {term: 0 if term == "zorblivick" else number for term, number in count(terms).items()}

    monkeypatch.setattr(lexical, "frequencies", a_little_old)
    for typed, corrections in (("zorblivick", []), ("zorblivikc", ["zorblivick"])):
        result = store.retriever.search(SERVICE, f"Where does the {typed} hum?")
        assert result.hits[0].document == "gadget"
        assert [one.read for one in result.corrections] == corrections
