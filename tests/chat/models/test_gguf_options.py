"""What clients ask for beside the question, fulfilled by the real local model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.chat.answer_service import AnswerService
from services.chat.models import ChatModels
from services.chat.models.errors import UnsupportedParameterError
from services.chat.options import AnswerOptions
from services.chat.types import AnswerEvent, Finished, FinishReason, Message, MessageRole
from services.core.actor import SERVICE
from tests.chat.models.test_gguf import gguf, model_file

__all__ = ["model_file"]
QUESTION = [(MessageRole.USER, "For how many months are seals covered?")]
COVER = {
    "type": "object",
    "properties": {"part": {"type": "string", "maxLength": 20}, "months": {"type": "integer"}},
    "required": ["part", "months"],
    "additionalProperties": False,
}
ORDER = {
    "type": "function",
    "function": {
        "name": "order",
        "description": "Order a part",
        "parameters": {
            "type": "object",
            "properties": {"part": {"type": "string", "maxLength": 20}},
            "required": ["part"],
        },
    },
}


@pytest.fixture
def chosen(models: ChatModels, model_file: Path) -> Iterator[None]:
    models.choose(SERVICE, gguf(model_file))
    yield
    models.close()


def ask(answering: AnswerService, **options: Any) -> tuple[Message, list[AnswerEvent]]:
    events = list(answering.complete(SERVICE, QUESTION, fresh=True, options=AnswerOptions(**options)))
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.left_out == ()
    return last.message, events


@pytest.mark.usefixtures("chosen")
def test_a_real_model_keeps_to_what_is_asked(answering: AnswerService) -> None:
    """Length, words to stop at, the seed, a JSON schema: each is fulfilled; tools are refused by their name."""
    short, _events = ask(answering, max_tokens=4)
    assert short.finish_reason is FinishReason.LENGTH
    assert short.cost.answer_tokens is not None
    assert short.cost.answer_tokens <= 4

    whole, _events = ask(answering, max_tokens=24)
    word = whole.text.split()[2]
    stopped, _events = ask(answering, max_tokens=24, stop=(word,))
    assert stopped.finish_reason is FinishReason.STOP
    assert word not in stopped.text
    assert whole.text.startswith(stopped.text)

    sampling = (("temperature", 1.5), ("top_p", 0.95))
    texts = [ask(answering, max_tokens=8, sampling=(*sampling, ("seed", seed)))[0].text for seed in (1, 1, 2, 3)]
    assert texts[0] == texts[1]
    assert len(set(texts)) > 1

    form = {"type": "json_schema", "json_schema": {"name": "cover", "schema": COVER}}
    found, _events = ask(answering, max_tokens=40, response_format=form)
    assert found.finish_reason is FinishReason.STOP
    assert set(json.loads(found.text)) == {"part", "months"}
    assert isinstance(json.loads(found.text)["months"], int)

    with pytest.raises(UnsupportedParameterError, match="`tools` cannot be fulfilled"):
        ask(answering, tools=(ORDER,))
