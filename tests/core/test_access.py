from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pytest

from services.core.access import MAX_WRONG_TOKENS, SERVICE, WRONG_TOKEN_SECONDS, AccessControl, Actor, Role
from services.core.errors import BusyError, ForbiddenError
from services.core.events import EventKind, NullEventSink
from services.core.settings import Settings

TOKEN = "right-and-long"


@dataclass
class Told(NullEventSink):
    """A reporter that remembers who did what, and a clock that is set by hand."""

    heard: list[tuple[str, EventKind, str]] = field(default_factory=list)
    now: float = 1000.0

    def action(self, actor: str, kind: EventKind, detail: str = "", /, **_figures: float) -> None:
        self.heard.append((actor, kind, detail))


def gate(told: Told, visitors: Literal["admin", "user"] = "user", token: str = TOKEN) -> AccessControl:
    return AccessControl(Settings(visitors=visitors, admin_token=token), told, lambda: told.now)


def test_without_the_setting_everybody_is_an_administrator() -> None:
    """A local installation would ask its only user for a token."""
    told = Told()
    door = gate(told, visitors="admin")
    assert not door.sign_in_required
    assert door.actor().role is Role.ADMIN
    assert door.authenticate("whatever").role is Role.ADMIN
    assert told.heard == []


def test_the_token_makes_an_administrator() -> None:
    """The right token would be refused, or none would be needed."""
    told = Told()
    door = gate(told)
    assert door.actor().role is Role.USER
    assert door.actor(TOKEN).role is Role.ADMIN
    assert door.actor(TOKEN + "x").role is Role.USER
    assert door.sign_in(TOKEN).role is Role.ADMIN
    assert [kind for _actor, kind, _detail in told.heard] == [EventKind.ACCESS]


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + " ", "ümläut"])
def test_wrong_tokens_are_refused_and_recorded(token: str) -> None:
    """A wrong token would let somebody in, or its try would leave no trace."""
    told = Told()
    with pytest.raises(ForbiddenError, match="not the administrator's token"):
        gate(told).authenticate(token)
    assert told.heard == [("local", EventKind.ACCESS, "wrong token refused")]


def test_without_a_token_nobody_becomes_an_administrator() -> None:
    """An empty setting would be matched by an empty token."""
    door = gate(Told(), token="")
    assert not door.has_token
    assert door.actor("").role is Role.USER
    with pytest.raises(ForbiddenError, match="No token is set"):
        door.authenticate("")


def test_guessing_is_slowed_down() -> None:
    """Tokens could be guessed as fast as the process answers; or one guesser would lock everybody out."""
    told = Told()
    door = gate(told)
    for _try in range(MAX_WRONG_TOKENS):
        with pytest.raises(ForbiddenError):
            door.authenticate("guess", address="10.0.0.1")
    for token in ("guess", TOKEN):  # from there not even the right one is looked at
        with pytest.raises(BusyError, match="Too many wrong tokens"):
            door.authenticate(token, address="10.0.0.1")
    assert door.authenticate(TOKEN, address="10.0.0.2").role is Role.ADMIN
    told.now += WRONG_TOKEN_SECONDS
    assert door.authenticate(TOKEN, address="10.0.0.1").role is Role.ADMIN


def test_what_is_remembered_of_guessers_is_bounded() -> None:
    """Guesses from ever new addresses would fill the memory."""
    told = Told()
    door = gate(told)
    for number in range(1500):
        with pytest.raises(ForbiddenError):
            door.authenticate("guess", name=f"name {number}", address=f"place {number}")
    assert len(door._wrong) == len(door._reported) == 1000


def test_a_refusal_is_on_the_time_line_once_in_a_while() -> None:
    """Refusals would be invisible, or a page that tries again and again would fill the time line."""
    told = Told()
    user = gate(told).actor(name="api")
    for _try in range(5):
        with pytest.raises(ForbiddenError, match="Collect: only an administrator may do that"):
            user.require_admin("Collect")
    with pytest.raises(ForbiddenError):
        user.require_admin("Freeze")
    assert [detail for _actor, _kind, detail in told.heard] == ["refused: Collect", "refused: Freeze"]
    told.now += 11
    with pytest.raises(ForbiddenError):
        user.require_admin("Collect")
    assert len(told.heard) == 3


def test_the_service_itself_may_act() -> None:
    """The budget could not act where visitors may only look."""
    SERVICE.require_admin("anything")
    with pytest.raises(ForbiddenError):
        Actor("somebody", Role.USER).require_admin("anything")
