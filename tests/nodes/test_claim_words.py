"""What a node does alone for all of them has words on the page "Nodes"."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from console.ui.nodes.node_words import lease_text
from services.core.claims import ClaimKind
from services.core.i18n import speaking
from services.nodes.types import Lease, Node, NodeState

ROOT = Path(__file__).parents[2]
CLAIMS = re.compile(r"claims\.(held|owner)\(")


def doing(name: str) -> Node:
    lease = Lease(name, 1, 1_700_000_000.0)
    return Node(1, "one", 1, NodeState.READY, "1", "", 0.0, 0.0, 0, leases=(lease,))


@pytest.mark.parametrize("kind", ClaimKind)
@pytest.mark.parametrize("language", ["en", "zh_CN"])
def test_every_claim_has_words(kind: ClaimKind, language: str) -> None:
    """Whoever looks why a node is busy would read a name of the program's."""
    with speaking(language):
        for name in (kind.value, f"{kind.value}:7:a conversation"):
            words = lease_text(doing(name))
            assert not words.startswith(f"{name} "), words
            assert "conversation:" not in words
            assert ":7:" not in words


def test_whoever_claims_uses_a_kind_that_has_words() -> None:
    """A part that claims by a name of its own would be shown by that name."""
    claiming = [path for path in (ROOT / "services").rglob("*.py") if CLAIMS.search(path.read_text())]
    assert len(claiming) >= 7
    assert [path.name for path in claiming if "ClaimKind." not in path.read_text()] == []
