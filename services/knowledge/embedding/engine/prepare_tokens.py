"""Prepare the vocabulary of a packed model: `python -m services.knowledge.embedding.engine.prepare_tokens`.

Reads an order as JSON from standard input: the model's files, an empty folder. A process of its own: the pieces take
100 MB while the trie is made.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from services.knowledge.embedding.engine.prepared_folder import write_manifest
from services.knowledge.embedding.model_files import ModelFiles
from services.knowledge.embedding.packed_file import PackedFile
from services.knowledge.tokenization.pieces import FILES, write_pieces


def main() -> None:
    """Carry out the order on standard input."""
    order = json.load(sys.stdin)
    files, folder = ModelFiles.from_json(order["model"]), Path(order["folder"])
    found = PackedFile(files.weights).vocabulary()
    special = {"bos": found.bos, "eos": found.eos, "unknown": found.unknown}
    write_pieces(folder, found.pieces, found.scores.tolist(), special, found.normalised)
    write_manifest(folder, files.sha256, FILES)


if __name__ == "__main__":
    main()
