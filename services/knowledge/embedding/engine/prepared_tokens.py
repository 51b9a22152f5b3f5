"""The tokenizer of a model: a file of its own, or the pieces of a packed model's vocabulary, made ready to map."""

from __future__ import annotations

from pathlib import Path

from services.knowledge.embedding.engine.prepared_folder import Preparation, prepared_folder
from services.knowledge.embedding.model_files import ModelFiles
from services.knowledge.tokenization.pieces import FILES

# Raise it when a newer program prepares differently.
RECIPE = 1
_MODULE = "services.knowledge.embedding.engine.prepare_tokens"


def prepared_tokens(files: ModelFiles, folders: list[Path]) -> Path:
    """Return what `open_tokenizer` opens, from the first of `folders` that has it sound, else made anew.

    Raises:
        UnavailableError: it cannot be made.
    """
    if not files.packed:
        return files.tokenizer_file
    return prepared_folder(Preparation(files, f"tokens-{RECIPE}", FILES, _MODULE, {}), folders).folder
