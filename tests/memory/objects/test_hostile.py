"""Objects that do something when they are looked at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.memory.objects.describe import describe
from services.memory.objects.inspector import Inspector

HERE = "tests.memory.objects.test_hostile"
touched = Path()


def touch(what: str) -> None:
    (touched / what).touch()  # also seen when it happens in the child


class Meta(type):
    def __instancecheck__(cls, instance: object) -> bool:
        touch("instancecheck")
        return super().__instancecheck__(instance)


class Hostile(metaclass=Meta):
    """Every way in which a look could run code of the object."""

    def __init__(self) -> None:
        self.visible = "seen"

    @property
    def __class__(self) -> Any:  # type: ignore[override]
        touch("class")
        raise RuntimeError("no")

    def __sizeof__(self) -> int:
        touch("sizeof")
        raise RuntimeError("no")

    def __repr__(self) -> str:
        touch("repr")
        raise RuntimeError("no")

    def __getattribute__(self, name: str) -> Any:
        touch(f"getattribute-{name}")
        raise RuntimeError("no")

    def __eq__(self, other: object) -> bool:
        touch("eq")
        raise RuntimeError("no")

    def __hash__(self) -> int:
        touch("hash")
        raise RuntimeError("no")

    def __len__(self) -> int:
        touch("len")
        raise RuntimeError("no")

    def __del__(self) -> None:
        if touched.name == "armed":
            touch("del")


class Listing(list[object]):
    def __len__(self) -> int:
        touch("list-len")
        raise RuntimeError("no")

    def __iter__(self) -> Iterator[object]:
        touch("list-iter")
        raise RuntimeError("no")

    def __repr__(self) -> str:
        touch("list-repr")
        raise RuntimeError("no")


def test_no_code_of_an_inspected_object_runs(
    inspector: Inspector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look that calls repr, len, hash or a property could load, lock, or change what it looks at."""
    folder = tmp_path / "armed"
    folder.mkdir()
    kept = [Hostile(), Listing([1, 2, 3] * 200)]
    monkeypatch.setattr(f"{HERE}.touched", folder)
    snapshot = inspector.take_snapshot()
    hostile = inspector.instances(f"{HERE}.Hostile").objects[0]
    listing = inspector.instances(f"{HERE}.Listing").objects[0]
    inspector.retention_paths(hostile.address, f"{HERE}.Hostile")
    assert [path.name for path in folder.iterdir()] == []
    assert "visible='seen'" in hostile.text
    assert "600 in all" in listing.text
    assert inspector.snapshot(snapshot.name).types[f"{HERE}.Hostile"].count == 1
    monkeypatch.undo()
    kept.clear()


def test_a_module_that_loads_things_when_asked_is_not_asked() -> None:
    """Lazy modules import half of a library for any attribute that is read."""
    import types

    class Lazy(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(name)

        @property
        def __dict__(self) -> Any:  # type: ignore[override]
            raise AssertionError("__dict__")

    assert describe(Lazy("lazy")).endswith("lazy")
