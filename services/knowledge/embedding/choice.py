"""Which encoder computes a model, and where: ONNX Runtime on the CPU, torch on a GPU and for everything else.

torch, transformers and sentence-transformers are imported only where they compute.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from services.core.machine import has_gpu_driver
from services.core.settings import Settings
from services.knowledge.embedding.model_files import ModelFiles
from services.knowledge.embedding.weights import TokenEncoder

# Precisions that ONNX Runtime computes here; the others are torch's.
_PREPARED = {"auto": "int8", "int8": "int8", "float32": "float32"}
_FOLDER = "models"


@dataclass(frozen=True, slots=True)
class EncoderChoice:
    """How a model is loaded, and in a few words how it is computed: "int8, cpu"."""

    load: Callable[[], TokenEncoder]
    detail: str


def prepared_folders(files: ModelFiles, settings: Settings) -> list[Path]:
    """Return the folders that may hold what is prepared of a model, the best one first."""
    folders = [settings.data_dir / _FOLDER]
    if files.bundled and _may_write(files.folder):
        folders.insert(0, files.folder)
    return folders


def choose_encoder(files: ModelFiles, settings: Settings, tokenizer: Path) -> EncoderChoice:
    """Choose by the settings, the model and the machine; `tokenizer` as for `open_tokenizer`.

    Raises:
        UnavailableError: CUDA is asked for and not usable, or the weights cannot be prepared.
    """
    wanted = settings.embedding_device
    may_be_gpu = wanted == "cuda" or (wanted == "auto" and has_gpu_driver())
    if not may_be_gpu and settings.embedding_precision in _PREPARED and files.is_bert_like:
        return _prepared(files, _PREPARED[settings.embedding_precision], settings, tokenizer)
    return _by_torch(files, settings, tokenizer)


def _prepared(files: ModelFiles, arithmetic: str, settings: Settings, tokenizer: Path) -> EncoderChoice:
    from services.knowledge.embedding.engine.onnx_encoder import OnnxEncoder
    from services.knowledge.embedding.engine.prepared_model import prepared

    model = prepared(files, arithmetic, prepared_folders(files, settings), tokenizer)
    return EncoderChoice(lambda: OnnxEncoder(files, model), f"{model.arithmetic}, cpu")


def _by_torch(files: ModelFiles, settings: Settings, tokenizer: Path) -> EncoderChoice:
    import torch

    from services.knowledge.embedding.bert_encoder import BertEncoder
    from services.knowledge.embedding.sentence_transformers_encoder import SentenceTransformersEncoder
    from services.knowledge.embedding.torch_device import cap_gpu_memory, choose_device, choose_dtype

    device = choose_device(settings.embedding_device)
    if device.type == "cpu" and settings.embedding_precision in _PREPARED and files.is_bert_like:
        return _prepared(
            files, _PREPARED[settings.embedding_precision], settings, tokenizer
        )  # a driver without a usable GPU
    dtype = choose_dtype(settings.embedding_precision, device)
    cap_gpu_memory(device, settings.gpu_memory_mb)
    # Several threads with one core each beat one operation spread over the cores.
    torch.set_num_threads(1)
    arithmetic = str(dtype).removeprefix("torch.")
    if not files.is_bert_like:
        return EncoderChoice(lambda: SentenceTransformersEncoder.load(files, device, dtype), f"{arithmetic}, {device}")
    int8 = settings.embedding_precision == "int8"
    detail = f"int8 weights, {arithmetic}" if int8 else arithmetic
    return EncoderChoice(lambda: BertEncoder.load(files, device, dtype, int8=int8), f"{detail}, {device}")


def _may_write(folder: Path) -> bool:
    """Return whether files can be put into a folder, or are there already."""
    with suppress(OSError):
        return os.access(folder, os.W_OK) or any(folder.glob("millpond-*"))
    return False
