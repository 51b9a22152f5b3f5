"""One's own account over HTTP: password, second factor, sessions, API tokens."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field
from starlette.responses import Response

from console.api.context import ApiContext, Caller, Context
from console.api.inputs import JsonBody
from console.api.people import (
    EndedOut,
    NewTokenOut,
    Password,
    SessionsOut,
    TokenIn,
    TokensOut,
    new_token,
)
from console.api.permissions import signed_in
from console.api.problems import problem_responses
from console.api.translated import TranslatedRoute
from services.core.actor import Actor
from services.identity.identity import Identity
from services.identity.types import Person, TokenInfo

router = APIRouter(route_class=TranslatedRoute, prefix="/api/account", tags=["account"])
_REFUSED = problem_responses(401, 403)
_MISSING = problem_responses(401, 403, 404)
_CHECKED = problem_responses(400, 401, 403, 409, 429)


class AccountOut(BaseModel):
    """The account of whoever asks, and the session or API token that this comes by."""

    person: Person
    session_id: str
    permissions: list[str] = Field(description="What the role allows, within the scopes of the token")
    recovery_codes_left: int


class PasswordChangeIn(JsonBody):
    """The present password, and the new one."""

    password: Password
    new: Password


class PasswordIn(JsonBody):
    """The present password once more; people who come from a provider leave it empty."""

    password: Password = ""


class SetupOut(BaseModel):
    """What an authenticator needs, shown this once."""

    secret: str
    uri: str = Field(description="For an authenticator on the same device")
    qr: str = Field(description="The same as a QR code, in SVG")


class CodeIn(JsonBody):
    """A code that the authenticator shows."""

    code: str = Field(max_length=40)


class CodesOut(BaseModel):
    """Recovery codes, each for one sign-in, shown this once."""

    recovery_codes: list[str]


@router.get("", dependencies=signed_in(), summary="See one's account", responses=_REFUSED)
async def account(context: Context, actor: Caller) -> AccountOut:
    """Return who asks."""

    def found() -> AccountOut:
        own = _identity(context).account
        return AccountOut(
            person=own.person(actor),
            session_id=actor.session_id,
            permissions=sorted(actor.permissions),
            recovery_codes_left=own.recovery_codes_left(actor),
        )

    return await context.threads.call(found)


@router.put("/password", dependencies=signed_in(), status_code=204, summary="Change one's password", responses=_CHECKED)
async def change_password(body: PasswordChangeIn, context: Context, actor: Caller) -> Response:
    """Set a new password; all other sessions end at once."""
    await context.threads.call(_identity(context).account.change_password, actor, body.password, body.new)
    return Response(status_code=204)


@router.post("/second-factor", dependencies=signed_in(), summary="Begin a second factor", responses=_CHECKED)
async def begin_second_factor(body: PasswordIn, context: Context, actor: Caller) -> SetupOut:
    """Return a secret for an authenticator; it counts once a code of it is confirmed."""
    setup = await context.threads.call(_identity(context).account.begin_second_factor, actor, body.password)
    return SetupOut(secret=setup.secret, uri=setup.uri, qr=setup.qr)


@router.post(
    "/second-factor/confirm", dependencies=signed_in(), summary="Confirm the second factor", responses=_CHECKED
)
async def confirm_second_factor(body: CodeIn, context: Context, actor: Caller) -> CodesOut:
    """Turn the second factor on; returns the recovery codes."""
    codes = await context.threads.call(_identity(context).account.confirm_second_factor, actor, body.code)
    return CodesOut(recovery_codes=codes)


@router.post(
    "/second-factor/remove",
    dependencies=signed_in(),
    status_code=204,
    summary="Turn the second factor off",
    responses=_CHECKED,
)
async def remove_second_factor(body: PasswordIn, context: Context, actor: Caller) -> Response:
    """Turn the second factor off, and forget the recovery codes."""
    await context.threads.call(_identity(context).account.remove_second_factor, actor, body.password)
    return Response(status_code=204)


@router.post("/recovery-codes", dependencies=signed_in(), summary="Create new recovery codes", responses=_CHECKED)
async def new_recovery_codes(body: PasswordIn, context: Context, actor: Caller) -> CodesOut:
    """Return new recovery codes; the old ones are no longer accepted."""
    codes = await context.threads.call(_identity(context).account.new_recovery_codes, actor, body.password)
    return CodesOut(recovery_codes=codes)


@router.get("/sessions", dependencies=signed_in(), summary="List one's sessions", responses=_REFUSED)
async def sessions(context: Context, actor: Caller) -> SessionsOut:
    """Return one's sessions, with device and address."""
    found = await context.threads.call(lambda: _identity(context).sessions.of_person(actor, _own_id(context, actor)))
    return SessionsOut(sessions=found)


@router.delete("/sessions", dependencies=signed_in(), summary="End one's other sessions", responses=_REFUSED)
async def end_sessions(context: Context, actor: Caller) -> EndedOut:
    """End all of one's sessions but this one."""
    ended = await context.threads.call(
        lambda: _identity(context).sessions.end_all(actor, _own_id(context, actor), but=actor.session_id)
    )
    return EndedOut(ended=ended)


@router.delete(
    "/sessions/{session_id}",
    dependencies=signed_in(),
    status_code=204,
    summary="End one of one's sessions",
    responses=_MISSING,
)
async def end_session(session_id: Annotated[str, Path(max_length=40)], context: Context, actor: Caller) -> Response:
    """End a session at once, this one too."""
    await context.threads.call(lambda: _identity(context).sessions.end(actor, session_id, _own_id(context, actor)))
    return Response(status_code=204)


@router.get("/tokens", dependencies=signed_in(), summary="List one's API tokens", responses=_REFUSED)
async def tokens(context: Context, actor: Caller) -> TokensOut:
    """Return one's API tokens, the revoked ones too."""
    found = await context.threads.call(lambda: _identity(context).tokens.of_person(actor, _own_id(context, actor)))
    return TokensOut(tokens=found)


@router.post(
    "/tokens",
    dependencies=signed_in(),
    status_code=201,
    summary="Create an API token",
    responses=problem_responses(401, 403, 409),
)
async def add_token(body: TokenIn, context: Context, actor: Caller) -> NewTokenOut:
    """Make an API token; it is shown this once."""
    return await new_token(context, actor, await context.threads.call(_own_id, context, actor), body)


@router.delete("/tokens/{token_id}", dependencies=signed_in(), summary="Revoke an API token", responses=_MISSING)
async def revoke_token(token_id: Annotated[str, Path(max_length=40)], context: Context, actor: Caller) -> TokenInfo:
    """Revoke one of one's API tokens at once."""
    return await context.threads.call(
        lambda: _identity(context).tokens.revoke(actor, token_id, _own_id(context, actor))
    )


def _identity(context: ApiContext) -> Identity:
    return context.platform.identity


def _own_id(context: ApiContext, actor: Actor) -> int:
    return context.platform.identity.account.person(actor).id
