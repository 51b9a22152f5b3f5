"""Which passwords are accepted, and how they are stored."""

from __future__ import annotations

import threading
import time
import unicodedata

import argon2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.actor import Role
from services.core.errors import BadInputError, BusyError, UnauthorizedError
from services.identity.common_passwords import is_common
from services.identity.passwords import MOST_WAITING, HashCost, PasswordHasher, check_password
from tests.identity.house import CHEAP, PASSWORD, House
from tests.servers import eventually

COMMON = [
    "password1234",
    "Password123!",
    "P@ssw0rd2024!",
    "passwordpassword",
    "123456789012",
    "000000000000",
    "987654321098",
    "111122223333",
    "qwertyuiop123",
    "QwertyQwerty1",
    "1qaz2wsx3edc",
    "zaq12wsxcde34",
    "asdfghjkl123",
    "1q2w3e4r5t6y",
    "abcdefghijkl",
    "abcabcabcabc",
    "iloveyou1234",
    "letmein12345",
    "welcome2026!",
    "administrator1",
    "changeme1234",
    "monkeydragon1",
    "Summer2025!!",
    "millpond2026",
    "woaini1314520",
    "woaini5201314",
    "5201314520131",
    "woaiwojia520",
    "woaini123456",
    "zhongguo2008",
    "147258369147",
    "qq123456789012",
    "aa123456789012",
    "nihaoma123456",
    "a1b2c3d4a1b2c3d4",
    "20080808200808",
    "drowssap4321",
    "ｐａｓｓｗｏｒｄ１２３４",
]
GOOD = [
    PASSWORD,
    "correct horse battery staple",
    "two-grey-otters-swim-uphill",
    "mT7#kqzV9!wLp2",
    "鲸鱼在图书馆里慢慢喝着热茶",
    "Rote Nelken blühen im Keller",
    "xujiafeidaochuandianxin",
    "zhima kaihua jiejie gao le",
]


@pytest.mark.parametrize("password", COMMON)
def test_what_is_guessed_first_is_refused(password: str) -> None:
    """Fails if a password that every list of guesses begins with can be set."""
    with pytest.raises(BadInputError):
        check_password(password)


@pytest.mark.parametrize("password", GOOD)
def test_passphrases_are_accepted(password: str) -> None:
    """Fails if the rules refuse what they ask for."""
    assert check_password(password) == unicodedata.normalize("NFKC", password)


@pytest.mark.parametrize(
    "password", ["annegret.moser", "MoserAnnegret", "annegretannegret1", "moser-annegret-2026", "tergennaresom12"]
)
def test_names_are_refused(password: str) -> None:
    """Fails if somebody's name, turned around or with a year, is a password."""
    with pytest.raises(BadInputError):
        check_password(password, "annegret.moser", "Annegret Moser")


@pytest.mark.parametrize(
    "password", ["", "short", "elevenchars", "x" * 257, "line\x00 feed in a password", "\ud800 half of a character"]
)
def test_length_and_characters(password: str) -> None:
    """Fails if a password is accepted that is too short, too long, or cannot be typed."""
    with pytest.raises(BadInputError):
        check_password(password)


@given(st.text(min_size=0, max_size=300))
def test_the_rules_never_fail(text: str) -> None:
    """Fails if a text breaks the rules instead of being accepted or refused, or takes long to judge."""
    began = time.perf_counter()
    assert is_common(text, "someone") in {True, False}
    assert time.perf_counter() - began < 0.5


def test_the_same_characters_are_the_same_password() -> None:
    """Fails if a password typed on another keyboard (composed, or full width) is another one."""
    hasher = PasswordHasher(CHEAP)
    stored = hasher.hash(unicodedata.normalize("NFC", "café über dem fluss"))
    assert hasher.verify(stored, unicodedata.normalize("NFD", "café über dem fluss"))
    assert not hasher.verify(stored, "cafe uber dem fluss")
    assert not hasher.verify(None, "cafe uber dem fluss")


def test_parameters_of_today() -> None:
    """Fails if hashes are cheaper than what is said, or the salt is not random."""
    hasher = PasswordHasher()
    first, second = hasher.hash(PASSWORD), hasher.hash(PASSWORD)
    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert first != second
    assert not hasher.needs_rehash(first)
    assert hasher.needs_rehash(PasswordHasher(CHEAP).hash(PASSWORD))


def test_a_hash_is_renewed_with_the_next_sign_in(house: House) -> None:
    """Fails if passwords keep parameters that are too cheap by now."""
    house.add("root", Role.ADMIN)
    stronger = HashCost(memory_kib=128, passes=1)
    identity = house.open(stronger)
    before = house.stored_password("root")
    identity.sign_in("root", PASSWORD, address="10.0.0.1", device="")
    after = house.stored_password("root")
    assert "m=64," in before
    assert "m=128," in after
    identity.sign_in("root", PASSWORD, address="10.0.0.1", device="")
    assert house.stored_password("root") == after


def test_unknown_names_cost_the_same_hash_as_known_ones(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails if the time of an answer tells whether a name exists: no hash is computed, or one with other parameters."""
    house.add("root", Role.ADMIN)
    house.add("tokens only", password=None)
    computed: list[argon2.Parameters] = []
    verify = argon2.PasswordHasher.verify

    def recorded(self: argon2.PasswordHasher, stored: str, password: str) -> bool:
        computed.append(argon2.extract_parameters(stored))
        return verify(self, stored, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", recorded)
    for name in ("root", "nobody at all", "tokens only", ""):
        with pytest.raises(UnauthorizedError):
            house.sign_in(name, "wrong")
    assert len(computed) == 4
    assert len(set(map(repr, computed))) == 1


def test_one_hash_at_a_time_and_its_memory_is_told() -> None:
    """Fails if hashes of many sign-ins add up in memory, or the ledger does not learn of the one that runs."""
    hasher = PasswordHasher(HashCost(memory_kib=32 * 1024, passes=2))
    seen: list[int] = []
    refused: list[BusyError] = []

    def sign_in() -> None:
        try:
            hasher.verify(None, "x")
        except BusyError as error:
            refused.append(error)

    threads = [threading.Thread(target=sign_in) for _each in range(MOST_WAITING + 3)]
    for thread in threads:
        thread.start()

    def told() -> bool:
        reports = hasher.memory_reports()
        seen.append(len(reports))
        return bool(reports) and reports[0].bytes == 32 * 1024 * 1024

    eventually(told, what="the report of a hash")
    for thread in threads:
        thread.join()
    assert max(seen) == 1
    assert hasher.memory_reports() == []
    assert refused
