"""Small model folders of several kinds, as sentence-transformers saves them, with random weights."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

from services.knowledge.bundled_models import MINILM
from services.knowledge.embedding import model_files

WORDS = 30522  # of the bundled tokenizer, which every folder borrows


def make_folder(
    folder: Path, kind: str, *, pooling: str = "mean", prompts: dict[str, str] | None = None, **settings: Any
) -> Path:
    """Write a model of 2 layers and 32 dimensions; `kind` is bert, xlm-roberta or distilbert."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        import transformers

    torch.manual_seed(3)
    shape: dict[str, Any] = {"vocab_size": WORDS, "max_position_embeddings": 70, "pad_token_id": 0}
    if kind == "distilbert":
        config = transformers.DistilBertConfig(**shape, dim=32, n_layers=2, n_heads=4, hidden_dim=64)
        model: Any = transformers.DistilBertModel(config)
    else:
        shape |= {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
        classes: dict[str, tuple[Any, Any]] = {
            "bert": (transformers.BertConfig, transformers.BertModel),
            "xlm-roberta": (transformers.XLMRobertaConfig, transformers.XLMRobertaModel),
        }
        config_class, model_class = classes[kind]
        model = model_class(config_class(**shape | settings))
    # Random weights are so small that every text would look the same.
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    bundled = model_files.find_model(MINILM, "").folder
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        shutil.copy(bundled / name, folder / name)
    package = "sentence_transformers.models"
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": f"{package}.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{package}.Pooling"},
    ]
    write(folder / "modules.json", modules)
    write(folder / "sentence_bert_config.json", {"max_seq_length": 64, "do_lower_case": False})
    write(folder / "config_sentence_transformers.json", {"prompts": prompts or {}})
    (folder / "1_Pooling").mkdir()
    modes = {f"pooling_mode_{mode}": False for mode in ("cls_token", "mean_tokens", "max_tokens")}
    modes[
        {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token", "max": "pooling_mode_max_tokens"}[pooling]
    ] = True
    write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 32, **modes})
    return folder


def write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content))
