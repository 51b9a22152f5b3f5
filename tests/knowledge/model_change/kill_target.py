"""A process that changes the model of a folder, and stops in the middle to be killed:
`python -m tests.knowledge.model_change.kill_target FOLDER MODEL BATCHES`.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from tests.knowledge.model_change.ponds import Pond, held_back
from tests.servers import eventually


def main(folder: Path, model: str, batches: int) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what is logged shall not pass for an answer
    with held_back(pytest.MonkeyPatch()) as gate, Pond(folder, model) as pond:
        gate.permit(batches)
        eventually(lambda: pond.status().done >= 4 * batches and gate.waiting.is_set(), seconds=60, what="the middle")
        print(len(gate.texts), file=answers, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
