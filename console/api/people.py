"""Accounts and groups over HTTP: for those who manage people."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field
from starlette.responses import Response

from console.api.context import ApiContext, Caller, Context
from console.api.inputs import VISIBLE, Id, JsonBody
from console.api.permissions import needs
from console.api.problems import problem_responses
from console.api.translated import TranslatedRoute
from services.core.actor import Actor, Permission, Role
from services.identity.identity import Identity
from services.identity.passwords import LONGEST as LONGEST_PASSWORD
from services.identity.types import GroupInfo, Person, ProviderLink, SessionInfo, TokenInfo

router = APIRouter(route_class=TranslatedRoute, prefix="/api/people", tags=["people"])
groups_router = APIRouter(route_class=TranslatedRoute, prefix="/api/groups", tags=["people"])

RoleName = Literal["user", "operator", "auditor", "admin"]
PersonId = Annotated[Id, Path(description="Id of the account")]
GroupId = Annotated[Id, Path(description="Id of the group")]
Name = Annotated[str, Field(max_length=200, json_schema_extra=VISIBLE)]
# Longer than what is accepted, so that the sentence about its length is said by the rules of passwords.
Password = Annotated[str, Field(max_length=4 * LONGEST_PASSWORD, json_schema_extra={"format": "password"})]
_PEOPLE = needs(Permission.PEOPLE)
_REFUSED = problem_responses(401, 403)
_MISSING = problem_responses(401, 403, 404)
_LAST = problem_responses(401, 403, 404, 409)
_TAKEN = problem_responses(401, 403, 409, 429)


class PeopleOut(BaseModel):
    """Everybody, by name."""

    people: list[Person]


class PersonIn(JsonBody):
    """An account to make. Without a password it is used by API tokens and a provider alone."""

    name: Name
    role: RoleName | None = Field(None, description="null: the first account is an administrator, others are users")
    password: Password | None = None
    display_name: str = Field("", max_length=200)


class PersonChangesIn(JsonBody):
    """What to change; null leaves it as it is. A new password or disabling ends the person's sessions at once."""

    role: RoleName | None = None
    disabled: bool | None = None
    password: Password | None = None
    display_name: str | None = Field(None, max_length=200)


class SessionsOut(BaseModel):
    """Sessions, the newest first."""

    sessions: list[SessionInfo]


class LinksOut(BaseModel):
    """Under which subjects providers know somebody."""

    links: list[ProviderLink]


class LinkIn(JsonBody):
    """Who somebody is at an OpenID Connect provider."""

    issuer: str = Field(min_length=1, max_length=500)
    subject: str = Field(min_length=1, max_length=255)


class TokensOut(BaseModel):
    """API tokens, the newest first."""

    tokens: list[TokenInfo]


class TokenIn(JsonBody):
    """An API token to make."""

    name: Name
    scopes: list[Literal["read", "ask", "write", "operate"]] = Field(min_length=1, max_length=4)
    days: int | None = Field(None, ge=1, le=3650, description="How long it is valid; null: until it is revoked")


class NewTokenOut(BaseModel):
    """A new API token; it is not shown again."""

    token: str
    info: TokenInfo


class EndedOut(BaseModel):
    """How many were ended."""

    ended: int


class GroupsOut(BaseModel):
    """All groups, by name."""

    groups: list[GroupInfo]


class GroupIn(JsonBody):
    """The name of a group."""

    name: Name


class MemberOut(BaseModel):
    """A member of a group."""

    id: int
    name: str


class MembersOut(BaseModel):
    """The members of a group, by name."""

    members: list[MemberOut]


@router.get("", dependencies=_PEOPLE, summary="List the accounts", responses=_REFUSED)
async def people(context: Context, actor: Caller) -> PeopleOut:
    """Return everybody."""
    return PeopleOut(people=await context.threads.call(_identity(context).accounts.all, actor))


@router.post("", dependencies=_PEOPLE, status_code=201, summary="Create an account", responses=_TAKEN)
async def add(body: PersonIn, context: Context, actor: Caller) -> Person:
    """Create an account. From the first one on, nobody passes without signing in."""
    role = Role(body.role) if body.role else None
    return await context.threads.call(
        _identity(context).accounts.add,
        actor,
        body.name,
        role,
        password=body.password,
        display_name=body.display_name,
    )


@router.get("/{person_id}", dependencies=_PEOPLE, summary="See an account", responses=_MISSING)
async def person(person_id: PersonId, context: Context, actor: Caller) -> Person:
    """Return an account."""
    return await context.threads.call(_identity(context).accounts.get, actor, person_id)


@router.patch("/{person_id}", dependencies=_PEOPLE, summary="Change an account", responses=_LAST)
async def change(person_id: PersonId, body: PersonChangesIn, context: Context, actor: Caller) -> Person:
    """Change role, state, password or shown name; what was taken away counts for the next request."""
    return await context.threads.call(_change, context, actor, person_id, body)


@router.delete("/{person_id}", dependencies=_PEOPLE, status_code=204, summary="Delete an account", responses=_LAST)
async def delete(person_id: PersonId, context: Context, actor: Caller) -> Response:
    """Delete an account with its sessions, tokens, grants and conversations.

    Nobody else can read the conversations: if they are to be kept, the person exports them before.
    """
    # With the conversations, which need the services to be ready.
    await context.threads.call(context.services.identity.accounts.delete, actor, person_id)
    return Response(status_code=204)


@router.delete("/{person_id}/second-factor", dependencies=_PEOPLE, summary="Remove a second factor", responses=_MISSING)
async def reset_second_factor(person_id: PersonId, context: Context, actor: Caller) -> Person:
    """Remove somebody's second factor and recovery codes, as after a lost telephone; their sessions end."""
    return await context.threads.call(_identity(context).accounts.reset_second_factor, actor, person_id)


@router.get("/{person_id}/links", dependencies=_PEOPLE, summary="List somebody's links", responses=_REFUSED)
async def links(person_id: PersonId, context: Context, actor: Caller) -> LinksOut:
    """Return under which subjects OpenID Connect providers know a person."""
    return LinksOut(links=await context.threads.call(_identity(context).links.of_person, actor, person_id))


@router.post("/{person_id}/links", dependencies=_PEOPLE, summary="Link an account", responses=_LAST)
async def add_link(person_id: PersonId, body: LinkIn, context: Context, actor: Caller) -> LinksOut:
    """Record who a person is at an OpenID Connect provider: whoever comes from there under it has this account."""
    found = _identity(context).links
    await context.threads.call(found.link, actor, person_id, body.issuer, body.subject)
    return LinksOut(links=await context.threads.call(found.of_person, actor, person_id))


@router.post(
    "/{person_id}/links/remove",
    dependencies=_PEOPLE,
    status_code=204,
    summary="Remove a link",
    responses=_MISSING,
)
async def remove_link(person_id: PersonId, body: LinkIn, context: Context, actor: Caller) -> Response:
    """Remove a link: nobody signs in to the account by it any more; sessions go on."""
    await context.threads.call(_identity(context).links.unlink, actor, person_id, body.issuer, body.subject)
    return Response(status_code=204)


@router.get("/{person_id}/sessions", dependencies=_PEOPLE, summary="List somebody's sessions", responses=_REFUSED)
async def sessions(person_id: PersonId, context: Context, actor: Caller) -> SessionsOut:
    """Return the sessions of a person."""
    return SessionsOut(sessions=await context.threads.call(_identity(context).sessions.of_person, actor, person_id))


@router.delete("/{person_id}/sessions", dependencies=_PEOPLE, summary="End all sessions", responses=_REFUSED)
async def end_sessions(person_id: PersonId, context: Context, actor: Caller) -> EndedOut:
    """End all sessions of a person at once."""
    return EndedOut(ended=await context.threads.call(_identity(context).sessions.end_all, actor, person_id))


@router.delete(
    "/{person_id}/sessions/{session_id}",
    dependencies=_PEOPLE,
    status_code=204,
    summary="End a session",
    responses=_MISSING,
)
async def end_session(
    person_id: PersonId, session_id: Annotated[str, Path(max_length=40)], context: Context, actor: Caller
) -> Response:
    """End one session of a person at once."""
    await context.threads.call(_identity(context).sessions.end, actor, session_id, person_id)
    return Response(status_code=204)


@router.get("/{person_id}/tokens", dependencies=_PEOPLE, summary="List somebody's API tokens", responses=_REFUSED)
async def tokens(person_id: PersonId, context: Context, actor: Caller) -> TokensOut:
    """Return the API tokens of a person, the revoked ones too."""
    return TokensOut(tokens=await context.threads.call(_identity(context).tokens.of_person, actor, person_id))


@router.post(
    "/{person_id}/tokens",
    dependencies=_PEOPLE,
    status_code=201,
    summary="Create an API token for somebody",
    responses=_LAST,
)
async def add_token(person_id: PersonId, body: TokenIn, context: Context, actor: Caller) -> NewTokenOut:
    """Make an API token of a person; it is shown this once."""
    return await new_token(context, actor, person_id, body)


@router.delete(
    "/{person_id}/tokens/{token_id}", dependencies=_PEOPLE, summary="Revoke somebody's API token", responses=_MISSING
)
async def revoke_token(
    person_id: PersonId, token_id: Annotated[str, Path(max_length=40)], context: Context, actor: Caller
) -> TokenInfo:
    """Revoke an API token at once."""
    return await context.threads.call(_identity(context).tokens.revoke, actor, token_id, person_id)


@groups_router.get("", dependencies=_PEOPLE, summary="List the groups", responses=_REFUSED)
async def groups(context: Context, actor: Caller) -> GroupsOut:
    """Return all groups."""
    return GroupsOut(groups=await context.threads.call(_identity(context).groups.all, actor))


@groups_router.post("", dependencies=_PEOPLE, status_code=201, summary="Create a group", responses=_TAKEN)
async def add_group(body: GroupIn, context: Context, actor: Caller) -> GroupInfo:
    """Create a group without members."""
    return await context.threads.call(_identity(context).groups.add, actor, body.name)


@groups_router.patch("/{group_id}", dependencies=_PEOPLE, summary="Rename a group", responses=_LAST)
async def rename_group(group_id: GroupId, body: GroupIn, context: Context, actor: Caller) -> GroupInfo:
    """Give a group another name."""
    return await context.threads.call(_identity(context).groups.rename, actor, group_id, body.name)


@groups_router.delete(
    "/{group_id}", dependencies=_PEOPLE, status_code=204, summary="Delete a group", responses=_MISSING
)
async def delete_group(group_id: GroupId, context: Context, actor: Caller) -> Response:
    """Delete a group with its grants; its members stay."""
    await context.threads.call(_identity(context).groups.delete, actor, group_id)
    return Response(status_code=204)


@groups_router.get("/{group_id}/members", dependencies=_PEOPLE, summary="List the members", responses=_MISSING)
async def members(group_id: GroupId, context: Context, actor: Caller) -> MembersOut:
    """Return who is in a group."""
    found = await context.threads.call(_identity(context).groups.members, actor, group_id)
    return MembersOut(members=[MemberOut(id=number, name=name) for number, name in found])


@groups_router.put(
    "/{group_id}/members/{person_id}",
    dependencies=_PEOPLE,
    status_code=204,
    summary="Add a member",
    responses=_MISSING,
)
async def add_member(group_id: GroupId, person_id: PersonId, context: Context, actor: Caller) -> Response:
    """Put a person into a group."""
    await context.threads.call(_identity(context).groups.add_member, actor, group_id, person_id)
    return Response(status_code=204)


@groups_router.delete(
    "/{group_id}/members/{person_id}",
    dependencies=_PEOPLE,
    status_code=204,
    summary="Remove a member",
    responses=_MISSING,
)
async def remove_member(group_id: GroupId, person_id: PersonId, context: Context, actor: Caller) -> Response:
    """Take a person out of a group, with what they got by it."""
    await context.threads.call(_identity(context).groups.remove_member, actor, group_id, person_id)
    return Response(status_code=204)


async def new_token(context: ApiContext, actor: Actor, person_id: int, body: TokenIn) -> NewTokenOut:
    """Make an API token of a person."""
    made = await context.threads.call(
        _identity(context).tokens.create, actor, person_id, body.name, body.scopes, body.days
    )
    return NewTokenOut(token=made.token, info=made.info)


def _identity(context: ApiContext) -> Identity:
    return context.platform.identity


def _change(context: ApiContext, actor: Actor, person_id: int, body: PersonChangesIn) -> Person:
    accounts = context.platform.identity.accounts
    changed = accounts.get(actor, person_id)
    if body.password is not None:  # what may be refused comes first
        changed = accounts.set_password(actor, person_id, body.password)
    if body.display_name is not None:
        changed = accounts.rename(actor, person_id, body.display_name)
    if body.role is not None:
        changed = accounts.set_role(actor, person_id, Role(body.role))
    if body.disabled is not None:
        changed = accounts.set_disabled(actor, person_id, disabled=body.disabled)
    return changed
