from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from services.knowledge.model_change.types import ChangeStage
from tests.knowledge.model_change.ponds import Pond, held_back
from tests.servers import eventually


def test_a_killed_change_goes_on_where_it_was(folder: Path, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill loses vectors that were made, or some are made twice, or search suffers from what it left."""
    with Pond(folder) as pond:
        before = pond.found()
    command = [sys.executable, "-m", "tests.knowledge.model_change.kill_target", str(folder), str(small), "5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "20\n"
        process.kill()
    with held_back(monkeypatch) as gate, Pond(folder, str(small)) as pond:
        assert pond.found() == before
        status = pond.status()
        assert (status.stage, status.done) == (ChangeStage.EMBEDDING, 20)
        gate.permit(1)
        eventually(lambda: pond.status().done == 24, what="the next batch")
        made = len(gate.texts)
        assert made == 4
        gate.open()
        pond.changed()
        pond.check()
        chunks = pond.rows("chunks")
        # Besides them only the pairs that the trust in languages is measured with.
        assert len({*gate.texts}) >= chunks - 20
