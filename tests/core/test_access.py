from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pytest

from services.core.access import AccessControl, WrongTokenError
from services.core.actor import SERVICE, Actor, Permission, Role
from services.core.errors import ForbiddenError
from services.core.events import EventKind, NullEventSink
from services.core.settings import Settings
from services.core.throttle import LONGEST_SECONDS

TOKEN = "right-and-long"


@dataclass
class RecordedEvents(NullEventSink):
    """An event sink that records who did what, and a clock that is set by hand."""

    recorded: list[tuple[str, EventKind, str]] = field(default_factory=list)
    now: float = 1000.0

    def action(self, actor: str, kind: EventKind, detail: str = "", /, **_figures: float) -> None:
        self.recorded.append((actor, kind, detail))


def access_control(
    events: RecordedEvents, visitors: Literal["admin", "user"] = "user", token: str = TOKEN
) -> AccessControl:
    return AccessControl(Settings(visitors=visitors, admin_token=token), events, lambda: events.now)


def test_without_the_setting_everybody_is_an_administrator() -> None:
    """A local installation would ask its only user for a token."""
    events = RecordedEvents()
    access = access_control(events, visitors="admin")
    assert not access.sign_in_required
    assert access.actor().role is Role.ADMIN
    assert access.authenticate("whatever").role is Role.ADMIN
    assert events.recorded == []


def test_the_token_makes_an_administrator() -> None:
    """The right token would be refused, or none would be needed."""
    events = RecordedEvents()
    access = access_control(events)
    assert access.actor().role is Role.USER
    assert access.actor(TOKEN).role is Role.ADMIN
    assert access.actor(TOKEN + "x").role is Role.USER
    assert access.sign_in(TOKEN).role is Role.ADMIN
    assert [kind for _actor, kind, _detail in events.recorded] == [EventKind.ACCESS]


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + " ", "ümläut"])
def test_wrong_tokens_are_refused_and_recorded(token: str) -> None:
    """A wrong token would let somebody in, or its try would leave no trace."""
    events = RecordedEvents()
    with pytest.raises(ForbiddenError, match="not the administrator's token"):
        access_control(events).authenticate(token)
    assert events.recorded == [("local", EventKind.ACCESS, "wrong token refused")]


def test_without_a_token_nobody_becomes_an_administrator() -> None:
    """An empty setting would be matched by an empty token."""
    access = access_control(RecordedEvents(), token="")
    assert not access.has_token
    assert access.actor("").role is Role.USER
    with pytest.raises(ForbiddenError, match="No token is set"):
        access.authenticate("")


def wrong(access: AccessControl, address: str) -> float:
    """Try a wrong token; return how long its refusal is held back."""
    with pytest.raises(WrongTokenError) as caught:
        access.authenticate("guess", address=address)
    return caught.value.seconds


def test_guessing_is_slowed_down_and_nobody_is_locked_out() -> None:
    """Tokens could be guessed as fast as the process answers; or a guesser would lock out who is right."""
    events = RecordedEvents()
    access = access_control(events)
    held_back = [wrong(access, "10.0.0.1") for _try in range(20)]
    assert held_back[:5] == [0.0] * 5  # typing errors
    assert held_back == sorted(held_back)
    assert 0 < held_back[5] < held_back[8] < held_back[-1] == LONGEST_SECONDS
    assert wrong(access, "10.0.0.2") == 0.0
    assert access.authenticate(TOKEN, address="10.0.0.1").role is Role.ADMIN  # from the very same address
    assert wrong(access, "10.0.0.1") == 0.0


def test_what_is_remembered_of_refusals_is_bounded() -> None:
    """Guesses under ever new names would fill the memory."""
    events = RecordedEvents()
    access = access_control(events)
    for number in range(1500):
        with pytest.raises(ForbiddenError):
            access.authenticate("guess", name=f"name {number}", address=f"address {number}")
    assert len(access._reported) == 1000


def test_a_refusal_is_on_the_time_line_once_in_a_while() -> None:
    """Refusals would be invisible, or a page that tries again and again would fill the time line."""
    events = RecordedEvents()
    user = access_control(events).actor(name="api")
    for _try in range(5):
        with pytest.raises(ForbiddenError, match="Collect: only an operator or an administrator may do that"):
            user.require(Permission.OPERATE, "Collect")
    with pytest.raises(ForbiddenError):
        user.require(Permission.OPERATE, "Freeze")
    assert [detail for _actor, _kind, detail in events.recorded] == ["refused: Collect", "refused: Freeze"]
    events.now += 11
    with pytest.raises(ForbiddenError):
        user.require(Permission.OPERATE, "Collect")
    assert len(events.recorded) == 3


def test_the_service_itself_may_act() -> None:
    """The budget could not act where visitors may only look."""
    SERVICE.require(Permission.OPERATE, "anything")
    with pytest.raises(ForbiddenError):
        Actor("somebody", Role.USER).require(Permission.OPERATE, "anything")
