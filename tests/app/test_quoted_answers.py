from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import pytest

from services.app.container import Services
from services.app.startup import Application
from services.chat.types import Finished, Message, MessageRole
from services.core.actor import SERVICE
from services.core.settings import Settings
from tests.benchmarks.everyday.asked import blocks, judge
from tests.benchmarks.everyday.documents import documents
from tests.benchmarks.everyday.questions import QUESTIONS

Ask = Callable[..., Message]
# A question in three; all of them are measured by `python -m tests.benchmarks everyday`.
SOME = QUESTIONS[::3]


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """A console without a language model, with everyday documents."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("quoted"), answer_cache_mb=0)
    with Application(settings) as services:
        for name, data in documents():
            services.library.add(SERVICE, io.BytesIO(data), name)
        assert services.ingestion.wait_idle(60)
        yield services


@pytest.fixture(scope="module")
def ask(services: Services) -> Ask:
    """Ask the console, as a client of its API does."""

    def answer(question: str, *before: str, collection_ids: tuple[int, ...] = ()) -> Message:
        earlier = [(role, text) for text in before for role in (MessageRole.USER, MessageRole.ASSISTANT)]
        stream = services.answers.complete(
            SERVICE, [*earlier, (MessageRole.USER, question)], collection_ids=collection_ids
        )
        return next(event.message for event in stream if isinstance(event, Finished))

    return answer


def test_everyday_questions_are_answered_with_nothing_irrelevant_behind(ask: Ask) -> None:
    """Tables, FAQs, steps, logs, code, PDF, in English and Chinese: .85 answered, .9 without other quotes."""
    verdicts = {asked.text: judge(asked, ask(asked.text).text) for asked in SOME}
    missed = [text for text, verdict in verdicts.items() if not verdict.answered]
    beside = [text for text, verdict in verdicts.items() if verdict.irrelevant]
    assert len(missed) <= 0.15 * len(SOME), missed
    assert len(beside) <= 0.1 * len(SOME), beside


@pytest.mark.parametrize(
    ("question", "quoted", "said"),
    [
        (
            "Summarise the rental agreement",
            "Northgate Housing",
            "main sentences of “rental-agreement.txt” in their order",
        ),
        ("总结员工手册", "工作时间", "main sentences of “员工手册.md”"),
        ("List all error codes of the dishwasher", "| E22 | Door not closed |", "5 entries of “dishwasher-manual.md”"),
        ("列出所有产品的保修期", "36个月", "4 entries of “产品目录.csv”"),
        ("What is the difference between Eco and Intensive?", "3 h 45 min", "weigh them up needs a language model"),
        ("Are dogs allowed in the flat?", "landlord's consent", "A plain yes or no needs a language model"),
        ("可以在家办公吗？", "每周最多两天", "A plain yes or no needs a language model"),
        ("How many employees are there in total in Antwerp and Bilbao?", "212", "nothing was counted or calculated"),
    ],
)
def test_what_needs_a_language_model_is_said(ask: Ask, question: str, quoted: str, said: str) -> None:
    """What can be quoted is, and one sentence says what that is not, and where to connect a model."""
    text = ask(question).text
    assert quoted in text
    hint = text.rsplit("\n\n", 1)[-1]
    assert said in hint
    assert "Settings" in hint
    assert len(hint) < 220


def test_a_document_to_be_summarised_is_the_one_meant(services: Services, ask: Ask) -> None:
    """The only one of a collection, the one of the question before; where neither is there, the answer asks for it."""
    assert "Which document is to be summarised?" in ask("Summarise this document").text
    collection = services.library.create_collection(SERVICE, "one")
    services.library.add(
        SERVICE, io.BytesIO(b"The heron nests in the old willow. It is grey and very shy."), "heron.txt", collection.id
    )
    assert services.ingestion.wait_idle(60)
    alone = ask("Summarise this document", collection_ids=(collection.id,))
    assert "The heron nests in the old willow." in alone.text
    after = ask("Summarise this document", "How much is the monthly rent in the rental agreement?")
    assert "rental-agreement.txt" in after.text


def test_a_question_that_points_back_is_answered(ask: Ask) -> None:
    """ "And on Sundays?" is about what was asked before."""
    assert "closed on Sundays" in ask("And on Sundays?", "When is the library open?").text


def test_where_no_sentence_answers_the_place_is_offered(ask: Ask) -> None:
    """A passage that is near, without a sentence that is, is named and can be opened."""
    message = ask("路由器在哪里生产？")
    assert "No sentence of the documents answers this by itself" in message.text
    assert [citation.document for citation in message.citations] == ["路由器指南.md"]


def test_what_the_documents_do_not_answer_is_not_quoted(ask: Ask) -> None:
    """Nothing found is said, and nothing is quoted."""
    # Of the second and the last two words alone are near to passages in the other language.
    for question in (
        "Who won the football world championship in 1998?",
        "What is the capital of Mongolia?",
        "法国的首都是哪里？",
    ):
        message = ask(question)
        assert (blocks(message.text), message.citations) == ([], ())
        assert "Nothing relevant" in message.text
