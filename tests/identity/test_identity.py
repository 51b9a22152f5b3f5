"""Signing in, and what requests get."""

from __future__ import annotations

import subprocess
import sys

import pytest

from services.core.actor import Permission, Role
from services.core.auditing import Action
from services.core.errors import UnauthorizedError
from tests.identity.house import PASSWORD, House
from tests.servers import ROOT


def test_without_accounts_nobody_signs_in(house: House) -> None:
    """Fails if an empty console would ask for a sign-in, or one with an account would not."""
    assert house.identity.open_mode
    assert house.identity.local_actor().role is Role.ADMIN
    house.add("root", Role.ADMIN)
    assert not house.identity.open_mode
    assert not house.open().open_mode


def test_a_session_is_who_signed_in_until_it_ends(house: House) -> None:
    """Fails if a session is somebody else, survives signing out, or a restart forgets it."""
    house.add("root", Role.ADMIN)
    ann = house.add("Ann")
    signed_in = house.sign_in("ann")
    actor = house.identity.by_session(signed_in.token)
    assert actor is not None
    assert (actor.name, actor.person_id, actor.role) == ("Ann", ann.id, Role.USER)
    assert actor.session_id == signed_in.actor.session_id
    after_restart = house.open().by_session(signed_in.token)
    assert after_restart is not None
    assert after_restart.person_id == ann.id
    house.identity.sign_out(actor.session_id)
    assert house.identity.by_session(signed_in.token) is None
    assert house.open().by_session(signed_in.token) is None
    assert [each.session_ids for each in house.revoked] == [{actor.session_id}]
    assert house.audit.actions()[-2:] == [Action.SIGN_IN, Action.SIGN_OUT]


def test_wrong_names_and_passwords_look_the_same(house: House) -> None:
    """Fails if an error tells which names exist, or the audit has what was typed in place of a name."""
    house.add("root", Role.ADMIN)
    told = set()
    for name, password in (("root", "wrong password of root"), (PASSWORD, "x"), ("", ""), ("\ud800", "\ud800")):
        with pytest.raises(UnauthorizedError) as caught:
            house.sign_in(name, password)
        told.add(str(caught.value))
    assert len(told) == 1
    failures = [record for record in house.audit.records if record.action is Action.SIGN_IN_FAILED]
    assert [record.target.name for record in failures] == ["root", "", "", ""]
    assert PASSWORD not in repr(house.audit.records)


def test_the_token_of_the_machine_is_the_local_administrator(house: House) -> None:
    """Fails if commands cannot act on a server that has accounts, or an empty token would."""
    house.add("root", Role.ADMIN)
    with pytest.raises(UnauthorizedError):
        house.identity.by_api_token("", "127.0.0.1")
    house.identity.accept_local_token("local-token")
    actor = house.identity.by_api_token("local-token", "127.0.0.1")
    assert actor.person_id is None
    assert actor.may(Permission.PEOPLE)
    house.identity.accept_local_token("")
    with pytest.raises(UnauthorizedError):
        house.identity.by_api_token("local-token", "127.0.0.1")


def test_libraries_of_passwords_are_imported_when_they_are_needed() -> None:
    """Fails if a server in which nobody signs in by password pays for argon2, pyotp, segno or cryptography.

    Or a process that serves alone for what counts failures of several nodes.
    """
    code = """
import sys
import services.app.build_identity, services.identity.identity
loaded = {name.partition(".")[0] for name in sys.modules}
print(sorted(loaded & {"argon2", "pyotp", "segno", "cryptography", "alembic"}))
of_several = {"services.identity.store.shared_failures", "services.nodes", "sqlalchemy.dialects.postgresql"}
print(sorted(of_several & set(sys.modules)))
"""
    completed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert completed.stdout.split() == ["[]", "[]"]
