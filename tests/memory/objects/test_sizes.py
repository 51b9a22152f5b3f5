from __future__ import annotations

import pytest

from services.core.errors import NotFoundError
from services.memory.objects.inspector import Inspector
from tests.memory.objects.planted import Registry


def test_asizeof_of_an_owner_is_given_in_all_and_by_attribute(inspector: Inspector) -> None:
    """The parts must add up to the whole, or nobody believes either."""
    owner = Registry()
    owner.rows = {str(number): bytes(10_000) for number in range(20)}
    inspector.add_owner("registry", lambda: owner, "The registry")
    found = inspector.deep_size("registry")
    assert inspector.owners == {"registry": "The registry"}
    assert found.owner == "The registry"
    assert found.parts[0][0] == "rows"
    assert 200_000 < found.parts[0][1] <= found.bytes < 300_000
    with pytest.raises(NotFoundError):
        inspector.deep_size("other")


def test_pymplers_summary_lists_types_by_bytes(inspector: Inspector) -> None:
    """The page and the endpoint promise pympler's own figures beside ours."""
    found = inspector.summary()
    assert {"str", "dict"} <= {row[0] for row in found.rows}
    assert [row[2] for row in found.rows] == sorted((row[2] for row in found.rows), reverse=True)
