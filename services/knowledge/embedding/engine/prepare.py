"""Prepare the weights of a model for ONNX Runtime: `python -m services.knowledge.embedding.engine.prepare`.

Reads an order as JSON from standard input: the model's files, the arithmetic (int8 or float32), the tokenizer, an empty
folder. A process of its own, since the libraries and the weights in float32 take 300 MB that nothing needs afterwards.

int8 is kept where the vectors of `calibration.TEXTS` stay within `LEAST_COSINE` of those in float32; else the weights
are written in float32.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from services.knowledge.embedding.engine.bert_input import PackedWordFile, TokenEmbeddings, pooled
from services.knowledge.embedding.engine.bert_weights import Array, read_weights
from services.knowledge.embedding.engine.calibration import LONG, TEXTS
from services.knowledge.embedding.engine.graph import Graph
from services.knowledge.embedding.engine.prepared_folder import write_manifest
from services.knowledge.embedding.engine.prepared_model import LAYERS, SMALL, WORDS, made_of
from services.knowledge.embedding.engine.session import ALONE, APART, INPUT, OUTPUT, open_session
from services.knowledge.embedding.model_files import ModelFiles
from services.knowledge.embedding.packed_file import PackedFile
from services.knowledge.embedding.packed_weights import PACKED_WORDS
from services.knowledge.tokenization.loader import open_tokenizer

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

LEAST_COSINE = 0.99


def prepare(files: ModelFiles, arithmetic: str, folder: Path, tokenizer: Path) -> None:
    """Write the prepared weights and their manifest into `folder`; `tokenizer` as for `open_tokenizer`."""
    weights = read_weights(files)
    words_at = PackedFile(files.weights).offset(PACKED_WORDS) if files.packed else 0
    rows = (
        PackedWordFile(files.weights, weights.positions.shape[1], words_at).rows
        if weights.words is None
        else weights.words.__getitem__
    )
    embeddings = TokenEmbeddings(rows, weights.positions, weights.norm, weights.epsilon, files.first_position)
    sequences = _sequences(files, tokenizer)
    mean = files.pooling == "mean"
    graph = Graph()
    exact = graph.model(weights, tapped=arithmetic == "int8").SerializeToString()
    session, cosine, layers = open_session(exact), 1.0, exact
    if arithmetic == "int8":
        vectors, ranges = _measured(session, graph.taps, embeddings, sequences, mean=mean)
        layers = Graph(ranges).model(weights).SerializeToString()
        rounded = _vectors(open_session(layers), embeddings, sequences, mean=mean)
        cosine = float((vectors * rounded).sum(axis=1).min())
        if cosine < LEAST_COSINE:
            arithmetic, cosine = "float32", 1.0
            layers = Graph().model(weights).SerializeToString()
    (folder / LAYERS).write_bytes(layers)
    if weights.words is not None:
        weights.words.astype(np.float16).tofile(folder / WORDS)
    np.savez(
        folder / SMALL,
        positions=weights.positions,
        scale=weights.norm.scale,
        shift=weights.norm.shift,
        epsilon=np.float64(weights.epsilon),
        words_at=np.int64(words_at),
    )
    write_manifest(folder, files.sha256, made_of(files), arithmetic=arithmetic, cosine=cosine)


def _sequences(files: ModelFiles, tokenizer: Path) -> list[list[int]]:
    """Return the token ids of the texts, one by one and several together, as passages and as questions."""
    longer = [" ".join(TEXTS[start : start + LONG]) for start in range(0, len(TEXTS), LONG)]
    texts = [files.chunk_prompt + text for text in (*TEXTS, *longer, "", "mill")]
    if files.query_prompt != files.chunk_prompt:
        texts += [files.query_prompt + text for text in TEXTS]
    return open_tokenizer(tokenizer, files.max_tokens).ids(texts)


def _measured(
    session: InferenceSession,
    taps: dict[str, str],
    embeddings: TokenEmbeddings,
    sequences: Sequence[Sequence[int]],
    *,
    mean: bool,
) -> tuple[Array, dict[str, Array]]:
    """Return the normalised vectors of sequences, and the largest absolute input of each channel by linear layer."""
    names = [output.name for output in session.get_outputs()]
    vectors: list[Array] = []
    ranges: dict[str, Array] = {}
    for sequence in sequences:
        embedded = embeddings.embedded([sequence])
        values = dict(zip(names, session.run(names, {INPUT: embedded, APART: ALONE}), strict=True)) | {INPUT: embedded}
        vectors.append(_normalised(pooled(values[OUTPUT], mean=mean))[0])
        for layer, tap in taps.items():
            largest = np.abs(values[tap][0]).max(axis=0)
            ranges[layer] = np.maximum(ranges[layer], largest) if layer in ranges else largest
    return np.stack(vectors), ranges


def _vectors(
    session: InferenceSession, embeddings: TokenEmbeddings, sequences: Sequence[Sequence[int]], *, mean: bool
) -> Array:
    return np.stack(
        [
            _normalised(
                pooled(session.run([OUTPUT], {INPUT: embeddings.embedded([each]), APART: ALONE})[0], mean=mean)
            )[0]
            for each in sequences
        ]
    )


def _normalised(vectors: Array) -> Array:
    found: Array = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return found


def main() -> None:
    """Carry out the order on standard input."""
    order = json.load(sys.stdin)
    prepare(
        ModelFiles.from_json(order["model"]), str(order["arithmetic"]), Path(order["folder"]), Path(order["tokenizer"])
    )


if __name__ == "__main__":
    main()
