from __future__ import annotations

import gc

import pytest

from services.core.errors import BadInputError, NotFoundError
from services.memory.objects.identity import Evidence, SeenObjects, digests, identify
from services.memory.objects.inspector import Inspector
from services.memory.objects.types import ObjectIdentity

HERE = __name__


class Rival:
    """Objects of one size and content, so that address, type and content say nothing."""


class Rows(dict[str, int]):
    """A dictionary that only its content and its place tell from others."""

    __slots__ = ()


class Heap:
    kept: list[object] = []  # noqa: RUF012 - what the objects are held by


def successor(address: int) -> Rival:
    """Return a new object at an address that has just become free."""
    others = []
    for _attempt in range(100_000):
        made = Rival()
        if id(made) == address:
            return made
        others.append(made)
    pytest.fail("the address was not used again")


def test_an_address_that_is_used_again_is_not_shown_as_the_object_that_was_listed(inspector: Inspector) -> None:
    """The page explained another object, of the same type and content, without a word."""
    Heap.kept = [Rival()]
    listed = inspector.instances(f"{HERE}.Rival", limit=1).objects[0]
    assert inspector.retention_paths(listed.address, listed.type, listed.evidence).identity is ObjectIdentity.SAME
    Heap.kept.clear()
    Heap.kept.append(successor(listed.address))
    assert inspector.retention_paths(listed.address, listed.type).identity is ObjectIdentity.UNCHECKED
    with pytest.raises(NotFoundError, match=rf"gone; at its address is now another {HERE}\.Rival"):
        inspector.retention_paths(listed.address, listed.type, listed.evidence)
    again = inspector.instances(f"{HERE}.Rival", limit=1).objects[0]
    assert inspector.retention_paths(again.address, again.type, again.evidence).identity is ObjectIdentity.SAME
    Heap.kept.clear()


def test_a_listed_object_is_not_kept_alive(inspector: Inspector) -> None:
    """A list that kept what it shows would be a leak of its own."""
    Heap.kept = [Rival()]
    inspector.instances(f"{HERE}.Rival", limit=1)
    Heap.kept.clear()
    gc.collect()
    assert inspector.instances(f"{HERE}.Rival", limit=1).total == 0


def test_without_a_weak_reference_content_or_place_tell(inspector: Inspector) -> None:
    """A dictionary that grows stays itself where it is held; another one elsewhere is another."""
    Heap.kept = [Rows(number=1)]
    listed = inspector.instances(f"{HERE}.Rows", limit=1).objects[0]

    def identity() -> ObjectIdentity:
        return inspector.retention_paths(listed.address, listed.type, listed.evidence).identity

    assert identity() is ObjectIdentity.UNCHANGED
    rows = Heap.kept[0]
    assert isinstance(rows, Rows)
    rows["number"] = 2
    assert identity() is ObjectIdentity.CHANGED
    Heap.kept.insert(0, None)
    with pytest.raises(NotFoundError, match="now another"):
        identity()
    Heap.kept.clear()


def test_another_type_at_the_address_is_named(inspector: Inspector) -> None:
    """ "Gone" alone leaves open whether the address was wrong."""
    Heap.kept = [[1, 2, 3]]
    with pytest.raises(NotFoundError, match="at its address is now an object of type list"):
        inspector.retention_paths(id(Heap.kept[0]), f"{HERE}.Rival")
    Heap.kept.clear()


def test_evidence_of_another_run_and_nonsense_are_refused(inspector: Inspector) -> None:
    """After a restart an address points at anything."""
    other = str(Evidence(inspector.run + 1, 0, *digests("a", "b")))
    with pytest.raises(NotFoundError, match="another run"):
        inspector.retention_paths(4096, "dict", other)
    with pytest.raises(BadInputError):
        inspector.retention_paths(4096, "dict", "'; --")


def test_a_place_that_many_objects_have_is_no_evidence() -> None:
    """Everything that native code holds has one name."""
    listed = Evidence(1, 0, *digests("{'a': 1}", "<native code>.dict"))
    assert identify(listed, None, "{'a': 2}", "<native code>.dict") is None
    assert identify(listed, None, "{'a': 1}", "<cycle>.dict") is ObjectIdentity.UNCHANGED
    assert Evidence.parse(str(listed)) == listed


def test_references_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists are drawn all day; an old one is then checked by content and place."""
    monkeypatch.setattr("services.memory.objects.identity.MOST_REFERENCES", 3)
    seen = SeenObjects()
    kept = [Rival() for _number in range(5)]
    numbers = seen.refer({id(each): f"{HERE}.Rival" for each in kept})
    assert len(numbers) == 5
    alive = [seen.is_alive(numbers[id(each)], id(each)) for each in kept]
    assert sorted(map(str, alive)) == ["None", "None", "True", "True", "True"]
