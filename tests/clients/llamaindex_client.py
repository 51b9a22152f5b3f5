"""LlamaIndex's OpenAI-like client, driven in its own environment: prints what it got as JSON. Argument: the address."""

from __future__ import annotations

import json
import sys

from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel


class Cover(BaseModel):
    """How long a part is covered."""

    part: str
    months: list[int]


def order(part: str, count: int) -> str:
    """Order a part."""
    return f"{count} {part}"


def main(url: str) -> None:
    model = OpenAILike(
        model="millpond",
        api_base=f"{url}/v1",
        api_key="none",
        is_chat_model=True,
        is_function_calling_model=True,
        should_use_structured_outputs=True,
        max_retries=0,
        context_window=8192,
    )
    question = [
        ChatMessage(role="system", content="Be brief."),
        ChatMessage(role="user", content="How long are seals covered?"),
    ]
    whole = model.chat(question)
    found = {
        "text": whole.message.content,
        "usage": whole.raw.usage.model_dump(),
        "streamed": [piece.delta for piece in model.stream_chat(question)],
        "completed": model.complete(question[-1].content).text,
        "structured": model.as_structured_llm(Cover).chat(question).raw.model_dump(),
        "calls": [
            {"name": call.tool_name, "arguments": call.tool_kwargs}
            for call in model.get_tool_calls_from_response(
                model.chat_with_tools([FunctionTool.from_defaults(order)], chat_history=question)
            )
        ],
    }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
