"""Two nodes over one PostgreSQL: settings that one of them writes, secrets, and the chain of the audit log."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.app.build_nodes import follow_settings
from services.app.build_secrets import build_box
from services.audit.audit_log import AuditLog
from services.audit.signing import LastHead, TrustedKeys
from services.audit.verification import verify
from services.chat.models import ChatModels
from services.chat.types import BackendChoice, BackendKind
from services.core.actor import Actor, Role
from services.core.auditing import Action, Target, TargetKind
from services.core.database import Database
from services.core.errors import ConflictError
from services.core.events import NullEventSink
from services.core.preferences import Preferences
from services.core.secret_box import KEY_FILE, SecretBox
from services.core.secret_store import SecretStore
from services.core.settings import Settings
from services.knowledge.retrieval_preferences import RetrievalPreferences
from services.knowledge.store.trust import TrustStore
from services.knowledge.types import RetrievalSettings
from services.nodes.types import NodeState
from tests.nodes.joined import JoinedNode, two_joined

ADMIN = Actor("ada", Role.ADMIN, person_id=1)
DAY = 24 * 3600.0


@dataclass(frozen=True)
class Member:
    """A node with the settings that it shares."""

    node: JoinedNode
    preferences: Preferences

    @property
    def database(self) -> Database:
        """Its own connections to the shared database."""
        return self.node.database

    def follow(self) -> None:
        """Apply what the other node has changed."""
        self.node.follow()


def member(node: JoinedNode) -> Member:
    preferences = Preferences(node.database)
    follow_settings(preferences, node.nodes)
    return Member(node, preferences)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Member, Member]]:
    with two_joined(tmp_path) as (one, two):
        yield member(one), member(two)


def test_how_the_chat_retrieves_is_the_same_at_all_nodes(pair: tuple[Member, Member]) -> None:
    """Every search reads it from memory: the other node would search as before until its next start."""
    one, two = (RetrievalPreferences(member.preferences, NullEventSink()) for member in pair)
    assert one.read() == two.read() == RetrievalSettings()
    changed = RetrievalSettings(k=3, threshold=0.2)
    one.apply(ADMIN, changed)
    pair[1].follow()
    assert two.read() == changed
    two.apply(ADMIN, RetrievalSettings(k=4))
    pair[0].follow()
    assert one.read().k == two.read().k == 4


def test_the_chat_model_and_what_its_server_takes_is_the_same_at_all_nodes(
    pair: tuple[Member, Member], tmp_path: Path
) -> None:
    """A node that goes on with what another server has refused leaves it out of each question."""
    settings = Settings(data_dir=tmp_path)
    one, two = (ChatModels(member.preferences, settings) for member in pair)
    two.capabilities.learn("http://old:1/v1", "big", frozenset({"temperature"}))
    pair[0].follow()
    assert one.capabilities.get("http://old:1/v1", "big").refused == {"temperature"}
    one.choose(ADMIN, BackendChoice(BackendKind.OPENAI, "http://127.0.0.1:9/v1", "tiny", "a-secret-key"))
    pair[1].follow()
    assert two.choice() == BackendChoice(BackendKind.OPENAI, "http://127.0.0.1:9/v1", "tiny")
    assert two.has_key(two.choice())
    assert not two.capabilities.get("http://old:1/v1", "big").known
    for models in (one, two):
        models.close()


def test_what_belongs_to_a_process_is_kept_by_each_node(pair: tuple[Member, Member]) -> None:
    """A restart of one node must not be taken for one of the other; what was stored before there were nodes counts."""
    one, two = (member.preferences.own() for member in pair)
    pair[0].preferences.set("collector", {"thresholds": [1, 2, 3]})
    assert one.get("collector") == two.get("collector") == {"thresholds": [1, 2, 3]}
    one.set("collector", {"thresholds": [4, 5, 6]})
    assert one.get("collector") == {"thresholds": [4, 5, 6]}
    assert two.get("collector") == {"thresholds": [1, 2, 3]}


def test_secrets_of_both_nodes_are_kept(pair: tuple[Member, Member], tmp_path: Path) -> None:
    """All are under one key: who writes what they read before would throw away what the other has stored meanwhile."""
    stores = [SecretStore(member.preferences, SecretBox(tmp_path)) for member in pair]
    stores[0].set("first", "a first secret")  # makes the key

    def fill(number: int) -> None:
        for turn in range(15):
            stores[number].set(f"{number} {turn}", f"secret {number} {turn}")

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(fill, range(2)))
    assert len(stores[0].names()) == 31
    assert stores[0].get("1 14", "it") == "secret 1 14"


def test_a_node_makes_no_second_secret_key(pair: tuple[Member, Member], tmp_path: Path) -> None:
    """What one node encrypts the other could never read; the key that is not made leaves no file."""
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir(mode=0o700)
    one, two = (
        build_box(Settings(data_dir=folder), member.node.nodes) for member, folder in zip(pair, folders, strict=True)
    )
    assert one.fingerprint == two.fingerprint == ""
    pair[0].node.say(NodeState.READY)
    sealed = one.seal("key", "a secret")
    pair[0].node.say(NodeState.READY)
    with pytest.raises(ConflictError, match="another secret key than one"):
        two.seal("key", "another secret")
    assert not (folders[1] / KEY_FILE).exists()
    (folders[1] / KEY_FILE).write_bytes((folders[0] / KEY_FILE).read_bytes())
    (folders[1] / KEY_FILE).chmod(0o600)
    assert two.fingerprint == one.fingerprint
    assert two.open("key", sealed, "it") == "a secret"


def test_two_nodes_append_to_one_chain(pair: tuple[Member, Member], tmp_path: Path) -> None:
    """A node that remembers where the chain ended would append a second record to the same one before."""
    key = tmp_path / "audit.key"
    clocks = [1_700_000_000.0, 1_700_000_000.0 - 5]  # no two machines have the same time

    def log_of(number: int) -> AuditLog:
        return AuditLog(pair[number].database, key, lambda: clocks[number])

    logs = [log_of(0), log_of(1)]
    logs[0].sign()
    for turn in range(6):
        logs[turn % 2].record(ADMIN, Action.DOCUMENT_UPLOADED, Target(TargetKind.DOCUMENT, turn, f"heron {turn}"))
        if turn % 3 == 2:
            logs[turn % 2].sign()

    def work(number: int) -> None:
        for turn in range(10):
            if turn % 2:
                logs[number].record(ADMIN, Action.SIGN_IN, detail=f"{turn}")
            else:
                with pair[number].database.write():
                    logs[number].record(ADMIN, Action.SETTINGS_CHANGED, detail=f"{turn}")
            logs[number].sign()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, range(2)))
    assert logs[0].erase_names(TargetKind.DOCUMENT, [1, 2]) == 2
    assert logs[1].erase_names(TargetKind.DOCUMENT, [1, 2]) == 0
    for log in logs:
        log.sign()
    found = verify(logs[1].store, TrustedKeys.beside(key), LastHead(key))
    assert (found.problems, found.records, found.unsigned) == ((), 27, 0)
    heads = [head.seq for head in logs[0].store.heads()]
    assert heads == sorted(set(heads))  # no two nodes sign the same records

    clocks[:] = [each + 90 * DAY for each in clocks]
    logs[0].record(ADMIN, Action.SIGN_IN)
    with ThreadPoolExecutor(2) as pool:
        removed = list(pool.map(lambda log: log.remove_old(30), logs))
    assert min(removed) == 0
    logs[1].sign()
    found = verify(logs[0].store, TrustedKeys.beside(key), LastHead(key))
    assert found.problems == ()
    assert found.removed == 27


def test_what_the_search_measures_does_not_keep_settings_from_the_other_node(pair: tuple[Member, Member]) -> None:
    """Both are told together: a node would go on with a setting that the other one has changed a moment before."""
    one, two = pair
    heard: list[str] = []
    two.preferences.on_changed("theme", lambda: heard.append("theme"))
    TrustStore(one.database).replace("a model", {})
    one.preferences.set("theme", {"name": "dark"})
    two.follow()
    assert heard == ["theme"]
