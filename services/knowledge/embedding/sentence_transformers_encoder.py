"""Encoder for all other sentence-transformers models, through that library (imported late: it costs 270 MB)."""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from services.core.errors import UnavailableError
from services.core.i18n import _
from services.knowledge.embedding.bert_encoder import Range, ranges
from services.knowledge.embedding.model_files import ModelFiles
from services.knowledge.embedding.torch_device import Array, computing

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class SentenceTransformersEncoder:
    """A SentenceTransformer in inference mode that yields to questions between its layers."""

    def __init__(self, model: SentenceTransformer, device: torch.device) -> None:
        self.device = device
        self.on_cpu = device.type == "cpu"
        self._model = model.eval().requires_grad_(False)
        self._local = threading.local()
        tokenizer: Any = model.tokenizer
        self._padding = int(tokenizer.pad_token_id or 0)
        self._inputs = frozenset(tokenizer.model_input_names)
        for module in self._model.modules():
            if isinstance(module, torch.nn.Linear):
                module.register_forward_pre_hook(self._pause)
        self.dimension = self.forward([[self._padding]], lambda: None).shape[1]

    @classmethod
    def load(cls, files: ModelFiles, device: torch.device, dtype: torch.dtype) -> Self:
        """Load the model without network, custom code or pickled weights.

        Raises:
            UnavailableError: sentence-transformers cannot load the folder.
        """
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from sentence_transformers import SentenceTransformer
            from transformers.utils import logging as transformers_logging

            transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
            transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
            try:
                model = SentenceTransformer(
                    str(files.folder),
                    device=str(device),
                    local_files_only=True,
                    trust_remote_code=False,
                    model_kwargs={"use_safetensors": True, "dtype": dtype},
                )
            except (OSError, ValueError, KeyError, ImportError) as error:
                raise UnavailableError(
                    _("The embedding model {name} cannot be loaded: {reason}").format(name=files.name, reason=error),
                    _("Name the folder of a sentence-transformers model in MILLPOND_EMBEDDING_MODEL."),
                ) from error
        with torch.inference_mode():
            return cls(model, device)

    @property
    def bytes(self) -> int:
        """Bytes of the weights."""
        return sum(tensor.nbytes for tensor in (*self._model.parameters(), *self._model.buffers()))

    def ranges(self) -> tuple[Range, ...]:
        """Return the memory ranges of the weights in this process: (address, length in bytes)."""
        tensors = (*self._model.parameters(), *self._model.buffers())
        return tuple(part for tensor in tensors for part in ranges(tensor))

    def forward(self, sequences: Sequence[Sequence[int]], yield_turn: Callable[[], None]) -> Array:
        """Return the pooled vectors of token id sequences, float32 (n, d).

        Raises:
            DeviceMemoryError: the GPU has no room for so many at once.
        """
        with computing():
            return self._forward(sequences, yield_turn).numpy()

    def _forward(self, sequences: Sequence[Sequence[int]], yield_turn: Callable[[], None]) -> Tensor:
        longest = max(len(sequence) for sequence in sequences)
        tokens = torch.full((len(sequences), longest), self._padding)
        mask = torch.zeros_like(tokens)
        for row, sequence in enumerate(sequences):
            tokens[row, : len(sequence)] = torch.tensor(sequence)
            mask[row, : len(sequence)] = 1
        features = {"input_ids": tokens.to(self.device), "attention_mask": mask.to(self.device)}
        if "token_type_ids" in self._inputs:
            features["token_type_ids"] = torch.zeros_like(tokens).to(self.device)
        self._local.yield_turn = yield_turn
        try:
            result: Tensor = self._model(features)["sentence_embedding"]
        finally:
            self._local.yield_turn = None
        return result.float().cpu()

    def _pause(self, _module: object, _arguments: object) -> None:
        yield_turn = getattr(self._local, "yield_turn", None)
        if yield_turn is not None:
            yield_turn()
