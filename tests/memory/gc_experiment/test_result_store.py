from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from services.core.errors import NotFoundError
from services.memory.gc_experiment.result_store import MAX_RESULTS, ResultStore
from services.memory.gc_experiment.types import ExperimentResult
from tests.memory.gc_experiment.test_analysis import made


def result(number: int) -> ExperimentResult:
    return replace(made([{}, {}]), id=f"{number:016x}", began=float(number))


def test_results_outlive_a_restart_and_the_oldest_go(tmp_path: Path) -> None:
    """What was measured is read back as it was; there are never more files than promised."""
    shelf = ResultStore(tmp_path / "new")
    for number in range(MAX_RESULTS + 3):
        shelf.add(result(number))
    again = ResultStore(tmp_path / "new")
    assert again.results() == shelf.results()
    assert [kept.began for kept in again.results()] == [float(number) for number in range(MAX_RESULTS + 2, 2, -1)]
    assert again.get(f"{5:016x}") == result(5)
    assert len(list((tmp_path / "new").iterdir())) == MAX_RESULTS
    with pytest.raises(NotFoundError):
        again.get("../../etc/passwd")


def test_damage_and_leftovers_do_no_harm(tmp_path: Path) -> None:
    """A damaged result is left out; half-written files and folders of children that were killed are removed."""
    ResultStore(tmp_path).add(result(1))
    (tmp_path / f"{2:016x}.json").write_text('{"id": 3}')
    (tmp_path / f"{3:016x}.json").write_bytes((tmp_path / f"{1:016x}.json").read_bytes())  # says that it is another
    (tmp_path / f"{4:016x}.partial").write_text("half")
    (ResultStore(tmp_path).work_folder() / "database").write_text("x")
    assert [kept.id for kept in ResultStore(tmp_path).results()] == [f"{1:016x}"]
    assert {path.suffix for path in tmp_path.iterdir()} == {".json"}
