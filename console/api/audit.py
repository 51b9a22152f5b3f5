"""The audit log over HTTP: who did what, exports of it, and whether it is whole. For auditors and administrators."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse

from console.api.context import Caller, Context
from console.api.documents import attachment
from console.api.inputs import MAX_FILTER, MAX_ID, Moment
from console.api.permissions import needs
from console.api.problems import Projection, other_forms
from console.api.translated import TranslatedRoute
from services.audit.audit_trail import ExportFormat
from services.audit.exported_record import exported
from services.audit.findings import AuditFinding
from services.audit.store import AuditFilters
from services.core.actor import Permission
from services.core.auditing import Action, AuditOutcome

router = APIRouter(route_class=TranslatedRoute, prefix="/api/audit", tags=["audit"])
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TYPES = {ExportFormat.JSONL: "application/jsonl", ExportFormat.CSV: "text/csv"}


def _filters(
    *,
    person: Annotated[str, Query(max_length=MAX_FILTER, description="Only names that contain this")] = "",
    action: Annotated[list[Action] | None, Query(description="Only these actions")] = None,
    object: Annotated[  # noqa: A002 - the name that clients use
        str, Query(max_length=MAX_FILTER, description="A part of the target's name, its kind, or both as `document 12`")
    ] = "",
    outcome: Annotated[list[AuditOutcome] | None, Query(description="Only these outcomes")] = None,
    since: Annotated[Moment | None, Query(alias="from", description="Not before this; UTC where no zone is")] = None,
    until: Annotated[Moment | None, Query(alias="to", description="Before this; UTC where no zone is given")] = None,
) -> AuditFilters:
    return AuditFilters(
        actor=person,
        actions=tuple(each.value for each in action or ()),
        target=object,
        outcomes=tuple(each.value for each in outcome or ()),
        since=_microseconds(since),
        until=_microseconds(until),
    )


Filters = Annotated[AuditFilters, Depends(_filters)]


class AuditRecordOut(BaseModel):
    """A record. `time` is UTC to the microsecond; `hash` covers it and the record before."""

    seq: int
    time: str
    actor: str
    person: str = Field(description="The account, empty without one")
    role: str
    way: str
    token: str
    address: str
    action: Action
    target_kind: str
    target_id: str
    target_name: str | None = Field(description="null: there is none, or it was erased with what had it")
    name_hash: str
    outcome: AuditOutcome
    detail: str
    request_id: str
    hash: str


class AuditOut(BaseModel):
    """A page of records, the newest first; `cursor` leads to the next one, null: there is none."""

    records: list[AuditRecordOut]
    cursor: int | None


class ProblemFound(Projection):
    """Something that is wrong with the log; `seq` is the record at which it shows, 0: none."""

    kind: AuditFinding
    seq: int
    message: str


class VerificationOut(Projection):
    """What a verification found."""

    whole: bool
    records: int
    first: int
    last: int
    signed: int = Field(description="The last record that a valid signature covers")
    signed_at: float | None = Field(description="When it was signed, in seconds since 1970")
    unsigned: int = Field(description="Records after it")
    heads: int = Field(description="Signed statements")
    removed: int = Field(description="The last record that retention has removed, by a signed statement; 0: none")
    problems: list[ProblemFound]
    more: int = Field(description="Further problems")
    keys: list[str] = Field(description="Fingerprints of the keys whose signatures were accepted")


@router.get("", dependencies=needs(Permission.AUDIT), summary="Read the audit log")
async def read(
    context: Context,
    actor: Caller,
    filters: Filters,
    *,
    cursor: Annotated[int | None, Query(ge=1, le=MAX_ID, description="From the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> AuditOut:
    """Return one page of the records that match, the newest first."""
    found = await context.threads.call(context.platform.audit.page, actor, filters, cursor, limit)
    return AuditOut(
        records=[AuditRecordOut(**exported(record)) for record in found],
        cursor=found[-1].seq if len(found) == limit else None,
    )


@router.get(
    "/export",
    dependencies=needs(Permission.AUDIT),
    summary="Export the audit log",
    response_class=StreamingResponse,
    responses=other_forms(*_TYPES.values()),
)
async def export(
    context: Context,
    actor: Caller,
    filters: Filters,
    format: ExportFormat = ExportFormat.JSONL,  # noqa: A002 - the name that clients use
) -> StreamingResponse:
    """Return the records that match as a file, the oldest first. The export is recorded before it begins."""
    portions = await context.threads.call(context.platform.audit.export, actor, filters, format)
    return StreamingResponse(portions, media_type=_TYPES[format], headers=attachment(f"audit.{format.value}"))


@router.get("/verify", dependencies=needs(Permission.AUDIT), summary="Verify the audit log")
async def verify(context: Context, actor: Caller) -> VerificationOut:
    """Read the whole log and return whether its chain and its signatures hold, and what is wrong where they do not.

    This is the server's word for itself: who does not trust it runs `millpond audit verify` with a public key that was
    kept elsewhere.
    """
    found = await context.threads.call(context.platform.audit.verify, actor)
    return VerificationOut.of(found, problems=[ProblemFound.of(each) for each in found.problems])


def _microseconds(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)
