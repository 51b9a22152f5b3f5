"""Two nodes over one PostgreSQL: what one changes of accounts, rights, sessions and settings counts at the other.

But where a test says so the nodes follow each other by hand, so that none depends on how fast a thread is.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pyotp
import pytest
import sqlalchemy as sa

from services.app.build_nodes import follow_access, follow_settings
from services.core.actor import AccessLevel, Role
from services.core.database.change_log import Topic, changes
from services.core.errors import BusyError, ConflictError, UnauthorizedError, UnavailableError
from services.core.throttle import FORGET_SECONDS
from services.identity.attempts import SlowedDownError
from services.identity.name_rules import name_key
from services.identity.oidc.flow import Flows
from services.identity.sessions import SessionLimits
from services.identity.sign_in_errors import SecondFactorNeededError, SignInOverError
from services.identity.sign_in_steps import TRIES
from services.identity.store.identity_tables import second_factor_setups, sign_in_failures
from services.identity.types import GranteeKind, Revocation, RevocationReason
from tests.identity.house import PASSWORD, House
from tests.nodes.joined import JoinedNode, joined
from tests.servers import eventually

HOUR = 3600.0


class NodeHouse(House):
    """Identity of a node, connected to the others as that of a server."""

    def __init__(self, node: JoinedNode, folder: Path) -> None:
        self.nodes = node.nodes
        super().__init__(node.database, folder)
        self.now = 1_000_000_000.0
        follow_access(self.identity, self.nodes)
        follow_settings(self.preferences, self.nodes)

    def follow(self) -> None:
        """Apply what the other node has changed."""
        while self.nodes.access.follow() or self.nodes.follower.follow():
            pass


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[NodeHouse, NodeHouse]]:
    with joined(tmp_path, "one", patience=0.2) as one, joined(tmp_path, "two", patience=0.2) as two:
        yield NodeHouse(one, tmp_path), NodeHouse(two, tmp_path)


def followed(*houses: NodeHouse) -> None:
    for house in houses:
        house.follow()


def test_a_session_of_one_node_is_valid_at_the_other(pair: tuple[NodeHouse, NodeHouse]) -> None:
    """A load balancer that sends a browser elsewhere would ask it to sign in with every click."""
    one, two = pair
    one.add("ada", Role.ADMIN)
    signed_in = one.sign_in("ada")
    two.follow()
    actor = two.identity.by_session(signed_in.token)
    assert actor is not None
    assert (actor.name, actor.role) == ("ada", Role.ADMIN)
    # The device is known there, too: no key is made twice.
    assert two.sign_in("ada", known_device=signed_in.known_device).known_device == signed_in.known_device


def test_the_first_account_closes_the_open_door_of_the_other_node(pair: tuple[NodeHouse, NodeHouse]) -> None:
    """A node that does not hear of it serves everybody as an administrator, and this one is heard of by threads."""
    one, two = pair
    assert two.identity.open_mode
    two.nodes.access.start()
    one.add("ada", Role.ADMIN)
    eventually(lambda: not two.identity.open_mode, seconds=10, what="the closed door")
    assert AccessLevel.WRITE in two.identity.directory.snapshot.levels(0).values()


@pytest.mark.parametrize("end", ["disabled", "deleted", "demoted"])
def test_who_loses_an_account_loses_it_everywhere(pair: tuple[NodeHouse, NodeHouse], end: str) -> None:
    """The other node has person, role and session in memory."""
    one, two = pair
    one.add("ada", Role.ADMIN)
    uma = one.add("uma", Role.OPERATOR)
    two.follow()
    token = two.sign_in("uma").token
    one.follow()
    assert one.identity.by_session(token) is not None
    ada = one.actor("ada")
    if end == "disabled":
        one.identity.accounts.set_disabled(ada, uma.id, disabled=True)
    elif end == "deleted":
        one.identity.accounts.delete(ada, uma.id)
    else:
        one.identity.accounts.set_role(ada, uma.id, Role.USER)
    two.follow()
    actor = two.identity.by_session(token)
    if end == "demoted":
        assert actor is not None
        assert actor.role is Role.USER
    else:
        assert actor is None
        with pytest.raises(UnauthorizedError):
            two.sign_in("uma")
    assert {each.why for each in two.revoked if each.person_id == uma.id} == {
        "disabled": {RevocationReason.DISABLED},
        "deleted": {RevocationReason.DELETED},
        "demoted": {RevocationReason.ROLE},
    }[end]


def test_what_ends_at_one_node_is_forgotten_and_told_at_the_other(pair: tuple[NodeHouse, NodeHouse]) -> None:
    """A session or token in memory would go on for days; and one that is told on is told round and round."""
    one, two = pair
    one.add("ada", Role.ADMIN)
    two.follow()
    signed_in = two.sign_in("ada")
    ada = signed_in.actor
    made = two.identity.tokens.create(ada, ada.person_id or 0, "nightly", ["read"])
    assert two.identity.by_api_token(made.token, "10.0.0.1").name == "ada"
    one.follow()
    one.identity.tokens.revoke(one.actor("ada"), made.info.id, ada.person_id or 0)
    one.identity.sign_out(ada.session_id)
    two.follow()
    with pytest.raises(UnauthorizedError):
        two.identity.by_api_token(made.token, "10.0.0.1")
    assert two.identity.by_session(signed_in.token) is None
    assert two.revoked == one.revoked
    assert [each.session_ids for each in two.revoked] == [{made.info.id}, {ada.session_id}]
    with one.database.read() as connection:
        told = sa.select(changes.c.node).where(changes.c.topic == Topic.REVOKED)
        assert set(connection.scalars(told)) == {one.database.node}


def test_a_right_that_is_withdrawn_is_gone_before_listeners_hear(pair: tuple[NodeHouse, NodeHouse]) -> None:
    """Pages that are drawn again with the old rights would show what is no longer shared."""
    one, two = pair
    one.add("ada", Role.ADMIN)
    uma = one.add("uma")
    ada = one.actor("ada")
    one.collections.append(9)  # made after the first account: not shared with everyone
    group = one.identity.groups.add(ada, "editors")
    one.identity.groups.add_member(ada, group.id, uma.id)
    grantee = one.identity.sharing.find_grantee(ada, 9, GranteeKind.GROUP, "editors")
    one.identity.sharing.set(ada, 9, grantee, AccessLevel.WRITE)
    two.follow()
    assert two.identity.directory.rights(uma.id).levels[9] is AccessLevel.WRITE
    seen: list[tuple[Revocation, AccessLevel | None]] = []
    two.identity.on_revoked(
        lambda revocation: seen.append((revocation, two.identity.directory.rights(uma.id).levels.get(9)))
    )
    one.identity.sharing.set(ada, 9, grantee, AccessLevel.READ)
    one.identity.groups.remove_member(ada, group.id, uma.id)
    two.follow()
    assert [revocation.why for revocation, _level in seen] == [RevocationReason.RIGHTS] * 2
    assert [level for _revocation, level in seen] == [None, None]


def test_two_administrators_who_demote_each_other_leave_one(pair: tuple[NodeHouse, NodeHouse]) -> None:
    """Each node has the other administrator in memory, and lets the last but one go; then nobody manages people."""
    one, two = pair
    ada, bob = one.add("ada", Role.ADMIN), one.add("bob", Role.ADMIN)
    two.follow()
    by_bob = two.actor("bob")
    one.identity.accounts.set_role(one.actor("ada"), bob.id, Role.USER)
    with pytest.raises(ConflictError, match="last administrator"):  # node two has not followed
        two.identity.accounts.set_role(by_bob, ada.id, Role.USER)


def test_at_the_same_moment_one_of_them_is_refused(pair: tuple[NodeHouse, NodeHouse]) -> None:
    """What is checked must hold when it is written."""
    one, two = pair
    ada, bob = one.add("ada", Role.ADMIN), one.add("bob", Role.ADMIN)
    two.follow()
    by_ada, by_bob = one.actor("ada"), two.actor("bob")
    for _turn in range(10):
        ready = threading.Barrier(2)

        def demote(house: NodeHouse, whom: int, ready: threading.Barrier = ready) -> bool:
            ready.wait()
            try:
                house.identity.accounts.set_role(by_ada if house is one else by_bob, whom, Role.USER)
            except (ConflictError, UnavailableError):
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            done = list(pool.map(demote, (one, two), (bob.id, ada.id)))
        followed(one, two)
        assert done.count(True) == 1
        assert one.identity.directory.enabled_admins() == two.identity.directory.enabled_admins() == 1
        for person in (ada, bob):
            one.identity.accounts.set_role(one.local, person.id, Role.ADMIN)
        two.follow()


def test_a_change_waits_for_that_of_the_other_node(pair: tuple[NodeHouse, NodeHouse]) -> None:
    """Two that check at once would both find what the other is about to change; other writers do not wait."""
    one, two = pair
    one.add("ada", Role.ADMIN)
    uma = one.add("uma")
    two.follow()
    with one.identity.changing:
        with pytest.raises(UnavailableError, match="busy"):
            two.identity.accounts.set_role(two.local, uma.id, Role.OPERATOR)
        two.preferences.set("another", {"thing": 1})
    assert two.identity.accounts.set_role(two.local, uma.id, Role.OPERATOR).role is Role.OPERATOR


def test_only_one_account_is_the_first(pair: tuple[NodeHouse, NodeHouse]) -> None:
    """The node that has not heard of the first account would make a second first one, and share everything again."""
    one, two = pair
    assert one.identity.accounts.add(one.local, "ada", password=PASSWORD).role is Role.ADMIN
    assert two.identity.accounts.add(two.local, "bob", password=PASSWORD).role is Role.USER
    with pytest.raises(ConflictError, match="already an account named Ada"):
        two.identity.accounts.add(two.local, "Ada", password=PASSWORD)


def test_a_session_in_use_at_one_node_does_not_end_as_idle_at_the_other(pair: tuple[NodeHouse, NodeHouse]) -> None:
    """The node that saw it long ago would end it for both."""
    one, two = pair
    one.add("ada", Role.ADMIN)
    two.follow()
    token = two.sign_in("ada").token
    begun, idle = one.now, SessionLimits().idle_seconds
    one.now = begun + idle - HOUR
    assert one.identity.by_session(token) is not None
    one.identity.write_times()
    two.identity.write_times()  # what this node saw before must not count instead
    two.now = begun + idle + HOUR
    two.identity.write_times()
    assert two.identity.by_session(token) is not None
    two.now = begun + 3 * idle
    assert two.identity.by_session(token) is None


def test_who_missed_changes_reads_everything_anew(pair: tuple[NodeHouse, NodeHouse]) -> None:
    """After a quarter of an hour without the database the log of changes does not say any more what ended."""
    one, two = pair
    one.add("ada", Role.ADMIN)
    uma = one.add("uma")
    two.follow()
    token, wall = two.sign_in("uma").token, one.actor("ada")
    one.identity.sessions.end_all(wall, uma.id)
    one.identity.accounts.set_role(wall, uma.id, Role.OPERATOR)
    with one.database.write() as connection:
        connection.execute(changes.delete())
    two.follow()
    assert two.identity.by_session(token) is None
    person = two.identity.directory.person(uma.id)
    assert person is not None
    assert person.role is Role.OPERATOR
    assert Revocation(None, frozenset(), RevocationReason.RIGHTS) in two.revoked


def test_a_sign_in_at_a_provider_ends_at_another_node(pair: tuple[NodeHouse, NodeHouse]) -> None:
    """The provider sends the browser back to the address of all nodes, not to the one where it began."""
    one, two = pair
    flows = Flows(lambda: one.now, one.identity.flow_key())
    flow = flows.begin("/", "https://pond.example/sign-in/oidc/callback")
    other = Flows(lambda: two.now, two.identity.flow_key())
    assert other.opened(flows.sealed(flow), flow.state) == flow


def guesses(houses: Sequence[NodeHouse], name: str, addresses: Iterable[str]) -> int:
    """Return how many wrong passwords are checked, each at another node in turn."""
    checked = 0
    for house, address in zip(itertools.cycle(houses), addresses, strict=False):
        with suppress(BusyError):
            with pytest.raises(UnauthorizedError):
                house.sign_in(name, "a wrong password", address=address)
            checked += 1
    return checked


def test_failures_count_at_all_nodes_together(pair: tuple[NodeHouse, NodeHouse]) -> None:
    """Whoever guesses at all of them in turn would have so many times as many tries."""
    one, two = pair
    one.add("ada", Role.ADMIN)
    followed(*pair)
    assert guesses([one, two], "ada", ["203.0.113.66"] * 20) == 6
    with pytest.raises(SlowedDownError):
        two.sign_in("ada", address="203.0.113.66")
    assert two.sign_in("ada", address="192.0.2.7").actor.name == "ada"
    # Many accounts from one place, whether there are such people or not.
    assert guesses([two, one], "nobody", ["203.0.113.67"] * 20) == 6
    spread = [f"2001:db8:0:{number:x}::1" for number in range(40)] * 2
    assert guesses([one, two], "bob", spread) < 45


def test_success_at_one_node_forgets_the_failures_at_the_other(pair: tuple[NodeHouse, NodeHouse]) -> None:
    """Typing errors of a whole day would hold somebody up at one of the nodes."""
    one, two = pair
    one.add("ada", Role.ADMIN)
    followed(*pair)
    for _round in range(3):
        assert guesses([one, two], "ada", ["192.0.2.7"] * 4) == 4
        two.sign_in("ada", address="192.0.2.7")


def test_failures_are_forgotten_by_the_clock_of_the_database(pair: tuple[NodeHouse, NodeHouse]) -> None:
    """One bad day would slow somebody down for good, or the table grow for good."""
    one, two = pair
    one.add("ada", Role.ADMIN)
    followed(*pair)
    assert guesses([one], "ada", ["203.0.113.66"] * 10) == 6
    with one.database.write() as connection:
        connection.execute(sign_in_failures.update().values(failed_at=sign_in_failures.c.failed_at - FORGET_SECONDS))
    assert guesses([two], "ada", ["203.0.113.66"]) == 1
    counts = sa.select(sign_in_failures.c.count)
    with one.database.write() as connection:
        assert set(connection.scalars(counts)) == {1}
        connection.execute(sign_in_failures.update().values(failed_at=sign_in_failures.c.failed_at - FORGET_SECONDS))
    two.identity.write_times()
    with one.database.read() as connection:
        assert connection.scalars(counts).all() == []


def test_what_was_typed_as_a_name_is_not_in_the_table(pair: tuple[NodeHouse, NodeHouse]) -> None:
    """A password in the wrong field would lie in the database, or as a hash that a list of words finds."""
    one, two = pair
    one.add("ada", Role.ADMIN)
    followed(*pair)
    with pytest.raises(UnauthorizedError):
        two.sign_in(PASSWORD, "", address="192.0.2.7")
    with one.database.read() as connection:
        keys = list(connection.scalars(sa.select(sign_in_failures.c.key)))
    assert len(keys) == 3
    key = name_key(PASSWORD)
    plain = {f"account\0{key}", key, f"pair\0{key}\x00192.0.2.7", PASSWORD}
    assert not {hashlib.sha256(each.encode()).digest() for each in plain} & set(keys)
    assert not any(key.encode() in each for each in keys)


def test_a_sign_in_that_succeeds_writes_no_more_than_before(pair: tuple[NodeHouse, NodeHouse]) -> None:
    """Each sign-in would wait for the writers of all nodes once more."""
    one, two = pair
    one.add("ada", Role.ADMIN)
    followed(*pair)
    for _time in range(2):
        with two.statements() as said:
            two.sign_in("ada", address="192.0.2.7")
        assert not [each for each in said if "sign_in_failures" in each and not each.startswith("SELECT")]


def test_a_place_is_known_at_the_other_node(pair: tuple[NodeHouse, NodeHouse]) -> None:
    """Who has signed in at one node would be held at the other by what a neighbour did."""
    one, two = pair
    one.add("ada", Role.ADMIN)
    followed(*pair)
    one.sign_in("ada", address="192.0.2.7")
    assert guesses([one, two], "ada", [f"203.0.113.{number}" for number in range(40)]) == 40
    assert guesses([one, two], "bob", ["192.0.2.7"] * 10) == 6
    assert two.sign_in("ada", address="192.0.2.7").actor.name == "ada"


def test_the_code_is_taken_by_the_node_that_did_not_see_the_password(pair: tuple[NodeHouse, NodeHouse]) -> None:
    """A front that sends the second page elsewhere would have people begin again and again."""
    one, two = pair
    one.add("ada", Role.ADMIN)
    followed(*pair)
    secret = one.enable_second_factor("ada")
    for house in pair:
        house.now += 60
    with pytest.raises(SecondFactorNeededError) as needed:
        one.sign_in("ada")
    step, visit = needed.value.step, {"address": "10.0.0.1", "device": ""}
    code = pyotp.TOTP(secret).at(two.now)
    assert two.identity.continue_sign_in(step, code, **visit).actor.name == "ada"
    with pytest.raises(SignInOverError):
        two.identity.continue_sign_in(step, code, **visit)
    with pytest.raises(UnauthorizedError, match="used already"):
        one.identity.continue_sign_in(step, code, **visit)


def test_wrong_codes_count_at_all_nodes_together(pair: tuple[NodeHouse, NodeHouse]) -> None:
    """One password would be good for as many codes at each of the nodes."""
    one = pair[0]
    one.add("ada", Role.ADMIN)
    followed(*pair)
    one.enable_second_factor("ada")
    with pytest.raises(SecondFactorNeededError) as needed:
        one.sign_in("ada")
    step, visit = needed.value.step, {"address": "10.0.0.1", "device": ""}
    for number in range(TRIES):
        with pytest.raises(UnauthorizedError, match="wrong"):
            pair[number % 2].identity.continue_sign_in(step, "000000", **visit)
    for house in pair:
        with pytest.raises(SignInOverError):
            house.identity.continue_sign_in(step, "000000", **visit)


def test_a_second_factor_is_confirmed_at_the_other_node(pair: tuple[NodeHouse, NodeHouse]) -> None:
    """Whoever sets one up would be told that there is nothing to confirm."""
    one, two = pair
    one.add("ada", Role.ADMIN)
    followed(*pair)
    actor = one.actor("ada")
    two.follow()
    setup = one.identity.account.begin_second_factor(actor, PASSWORD)
    with one.database.read() as connection:
        (stored,) = connection.scalars(sa.select(second_factor_setups.c.secret))
    assert setup.secret not in stored
    code = pyotp.TOTP(setup.secret).at(two.now)
    assert len(two.identity.account.confirm_second_factor(actor, code)) == 10
    with pytest.raises(ConflictError, match="no set-up"):
        one.identity.account.confirm_second_factor(actor, code)
    with one.database.read() as connection:
        assert connection.scalars(sa.select(second_factor_setups.c.secret)).all() == []
