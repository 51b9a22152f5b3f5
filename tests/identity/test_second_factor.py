"""The second factor: set up, asked for, used once, replaced by recovery codes."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET

import pyotp
import pytest

from services.core.actor import Role
from services.core.auditing import Action
from services.core.errors import BadInputError, ConflictError, UnauthorizedError
from services.core.secret_box import SecretBox, UnreadableSecretError
from services.identity.sign_in_errors import SecondFactorNeededError
from tests.identity.house import PASSWORD, House


@pytest.fixture
def people(house: House) -> House:
    house.now = 1_700_000_010.0
    house.add("root", Role.ADMIN)
    house.add("ann")
    return house


def test_from_set_up_to_sign_in(people: House) -> None:
    """Fails if an authenticator that was set up with what is shown gives codes that are not accepted."""
    actor = people.actor("ann")
    setup = people.identity.account.begin_second_factor(actor, PASSWORD)
    assert people.actor("ann").name == "ann"  # not asked for before it is confirmed
    authenticator = pyotp.parse_uri(setup.uri)
    assert isinstance(authenticator, pyotp.TOTP)
    assert (authenticator.name, authenticator.issuer, authenticator.secret) == ("ann", "Millpond", setup.secret)
    with pytest.raises(BadInputError):
        people.identity.account.confirm_second_factor(actor, "000000")
    codes = people.identity.account.confirm_second_factor(actor, authenticator.at(people.now))
    assert len(set(codes)) == 10
    people.now += 30
    with pytest.raises(SecondFactorNeededError):
        people.sign_in("ann")
    with pytest.raises(UnauthorizedError) as wrong:
        people.sign_in("ann", "wrong", authenticator.at(people.now))
    assert not isinstance(wrong.value, SecondFactorNeededError)
    assert people.sign_in("ann", code=authenticator.at(people.now)).actor.name == "ann"


def test_the_picture_is_a_qr_code_of_the_address(people: House) -> None:
    """Fails if the picture is not an SVG that a page can show as it is, or shows something else than its size says."""
    setup = people.identity.account.begin_second_factor(people.actor("ann"), PASSWORD)
    root = ET.parse(io.StringIO(setup.qr)).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "script" not in setup.qr
    modules = int(root.attrib["width"]) // 4 - 8  # four pixels a module, four modules of margin on each side
    assert (modules - 17) % 4 == 0
    assert modules >= 37  # version 5 at least holds such an address with error correction M


def test_a_code_is_used_once(people: House) -> None:
    """Fails if a code that somebody has overseen is accepted again, or an older one after it."""
    secret = people.enable_second_factor("ann")
    totp = pyotp.TOTP(secret)
    people.now += 60
    earlier, code = totp.at(people.now - 30), totp.at(people.now)
    people.sign_in("ann", code=code)
    for replay in (code, earlier):
        with pytest.raises(UnauthorizedError):
            people.sign_in("ann", code=replay)
    people.now += 30
    assert people.sign_in("ann", code=totp.at(people.now)).actor.name == "ann"


def test_the_code_of_the_set_up_is_used_up(people: House) -> None:
    """Fails if the code that confirmed the set-up opens a session."""
    secret = people.enable_second_factor("ann")
    with pytest.raises(UnauthorizedError):
        people.sign_in("ann", code=pyotp.TOTP(secret).at(people.now))


@pytest.mark.parametrize(("steps", "accepted"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_clocks_may_differ_by_one_step(people: House, steps: int, accepted: bool) -> None:
    """Fails if a clock that is half a minute off keeps somebody out, or an old code lets somebody in."""
    secret = people.enable_second_factor("ann")
    people.now += 300
    code = pyotp.TOTP(secret).at(people.now + 30 * steps)
    if accepted:
        assert people.sign_in("ann", code=f"{code[:3]} {code[3:]}").actor.name == "ann"
    else:
        with pytest.raises(UnauthorizedError):
            people.sign_in("ann", code=code)


@pytest.mark.parametrize("code", ["-", "x" * 5000, "١٢٣٤٥٦", "12345", "1234567", "\ud800" * 6, "\x00", "½½½½½½"])
def test_what_is_no_code(people: House, code: str) -> None:
    """Fails if something that is no code breaks the sign-in."""
    people.enable_second_factor("ann")
    with pytest.raises(UnauthorizedError):
        people.sign_in("ann", code=code)


def test_a_recovery_code_replaces_the_authenticator_once(people: House) -> None:
    """Fails if a recovery code is not accepted as it was written down, or twice, or by another person."""
    codes = people.recovery_codes("ann")
    people.add("bob")
    people.recovery_codes("bob")
    people.now += 300
    for stranger in codes[5:7]:
        with pytest.raises(UnauthorizedError):
            people.sign_in("bob", code=stranger)
    assert people.sign_in("ann", code=codes[0]).actor.name == "ann"
    assert people.sign_in("ann", code=codes[1].upper().replace("-", " ")).actor.name == "ann"
    for used in codes[:2]:
        with pytest.raises(UnauthorizedError):
            people.sign_in("ann", code=used, address="10.9.9.9")
    assert people.identity.account.recovery_codes_left(people.sign_in("ann", code=codes[2]).actor) == 7


def test_new_recovery_codes_replace_the_old_ones(people: House) -> None:
    """Fails if codes that were lost are still accepted after new ones were made."""
    old = people.recovery_codes("ann")
    actor = people.sign_in("ann", code=old[0]).actor
    new = people.identity.account.new_recovery_codes(actor, PASSWORD)
    assert not set(old) & set(new)
    with pytest.raises(UnauthorizedError):
        people.sign_in("ann", code=old[1])
    assert people.sign_in("ann", code=new[0]).actor.name == "ann"


def test_on_and_off(people: House) -> None:
    """Fails if a second factor can be replaced without turning it off, or turned off without the password."""
    actor = people.actor("ann")
    people.enable_second_factor("ann", actor)
    account = people.identity.account
    with pytest.raises(ConflictError):
        account.begin_second_factor(actor, PASSWORD)
    with pytest.raises(BadInputError):
        account.remove_second_factor(actor, "wrong")
    account.remove_second_factor(actor, PASSWORD)
    assert people.actor("ann").name == "ann"
    with pytest.raises(ConflictError):
        account.new_recovery_codes(actor, PASSWORD)
    with pytest.raises(ConflictError):
        account.confirm_second_factor(actor, "000000")
    assert people.audit.actions().count(Action.SECOND_FACTOR_CHANGED) == 2


def test_an_administrator_removes_a_lost_one(people: House) -> None:
    """Fails if somebody who lost authenticator and recovery codes is locked out for good."""
    people.enable_second_factor("ann")
    people.identity.accounts.reset_second_factor(people.actor("root"), 2)
    assert people.actor("ann").name == "ann"


def test_the_secret_is_stored_encrypted_and_follows_the_key(people: House) -> None:
    """Fails if the secret lies in the database as it is, or is lost when the key of secrets is replaced."""
    secret = people.enable_second_factor("ann")
    people.database.empty_log()
    assert secret.encode() not in (people.folder / "millpond.db").read_bytes()
    box = SecretBox(people.folder)
    box.add_key()
    assert people.identity.reseal() == 0
    box.drop_old_keys()
    people.now += 300
    code = pyotp.TOTP(secret).at(people.now)
    assert people.sign_in("ann", code=code).actor.name == "ann"


def test_without_the_key_recovery_codes_still_work(people: House) -> None:
    """Fails if a lost key is taken for a wrong code, or keeps somebody out who has a recovery code."""
    codes = people.recovery_codes("ann")
    (people.folder / "secret.key").unlink()
    people.now += 300
    with pytest.raises(UnreadableSecretError):
        people.sign_in("ann", code="123456")
    assert people.sign_in("ann", code=codes[0]).actor.name == "ann"
