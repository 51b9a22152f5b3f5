"""Errors as problem documents (RFC 9457), with a hint and the request's id as extra members; projections that the
bodies of several subjects share.

Under /v1 the document also has the member `error` in the shape that clients of OpenAI's protocol read.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Self

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from services.core.errors import ErrorKind, MillpondError
from services.core.i18n import _, joined
from services.memory.refusal import memory_refused
from services.operations.logging import current_request_id

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 2
CLIENT_CLOSED_REQUEST = 499  # nobody receives it; the log shows it, as other servers do
STATUS = {
    ErrorKind.BAD_INPUT: 400,
    ErrorKind.NOT_FOUND: 404,
    ErrorKind.CONFLICT: 409,
    ErrorKind.TOO_LARGE: 413,
    ErrorKind.BUSY: 429,
    ErrorKind.TIMED_OUT: 504,
    ErrorKind.CANCELLED: 409,
    ErrorKind.UNAVAILABLE: 503,
    ErrorKind.UNAUTHORIZED: 401,
    ErrorKind.FORBIDDEN: 403,
    ErrorKind.STORAGE: 507,
    ErrorKind.DAMAGED: 503,
}
HTTP_METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
MAX_FAULTS = 50
MAX_SHOWN = 200  # characters of what a client sent that are sent back to it


def title(kind: ErrorKind | None) -> str:
    """Return the short name of a kind of error, the same for every occurrence."""
    return {
        ErrorKind.BAD_INPUT: _("The input cannot be used"),
        ErrorKind.NOT_FOUND: _("Not found"),
        ErrorKind.CONFLICT: _("Conflicts with the current state"),
        ErrorKind.TOO_LARGE: _("Too large"),
        ErrorKind.BUSY: _("All slots are taken"),
        ErrorKind.TIMED_OUT: _("The time limit was reached"),
        ErrorKind.CANCELLED: _("Cancelled"),
        ErrorKind.UNAVAILABLE: _("Not available now"),
        ErrorKind.UNAUTHORIZED: _("Sign in first"),
        ErrorKind.FORBIDDEN: _("Not allowed"),
        ErrorKind.STORAGE: _("The storage refused"),
        ErrorKind.DAMAGED: _("A file is damaged"),
        None: _("Internal error"),
    }[kind]


def problem(
    status: int,
    detail: str,
    hint: str = "",
    *,
    kind: ErrorKind | None = None,
    path: str = "",
    parameter: str | None = None,
    **members: Any,
) -> dict[str, Any]:
    """Return the problem document as a dictionary; `members` are further extension members."""
    document: dict[str, Any] = {
        "type": f"urn:millpond:problem:{kind.value}" if kind else "about:blank",
        "title": title(kind) if kind or status >= 500 else HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "hint": hint,
        "request_id": current_request_id(),
        **members,
    }
    if path.startswith("/v1/"):
        document["error"] = openai_error(status, joined((detail, hint)), kind, parameter)
    return document


def openai_error(status: int, message: str, kind: ErrorKind | None, parameter: str | None = None) -> dict[str, Any]:
    """Return an error in the shape of OpenAI's API (https://platform.openai.com/docs/guides/error-codes)."""
    if status == 429:
        category = "rate_limit_error"
    elif status >= 500:
        category = "server_error"
    else:
        category = "invalid_request_error"
    return {"message": message, "type": category, "param": parameter, "code": kind.value if kind else None}


def problem_response(
    status: int, detail: str, hint: str = "", *, kind: ErrorKind | None = None, path: str = "", **members: Any
) -> Response:
    """Return the problem as an HTTP response, with `Retry-After` where trying again makes sense."""
    again = status in {429, 503} and kind is not ErrorKind.DAMAGED  # that does not pass by itself
    headers = {"Retry-After": str(RETRY_SECONDS)} if again else None
    return JSONResponse(
        problem(status, detail, hint, kind=kind, path=path, **members),
        status_code=status,
        headers=headers,
        media_type=MEDIA_TYPE,
    )


def error_response(error: MillpondError, path: str = "", **members: Any) -> Response:
    """Return the response for an expected failure."""
    members["parameter"] = getattr(error, "parameter", None)
    return problem_response(STATUS[error.kind], error.message, error.hint, kind=error.kind, path=path, **members)


def defect_response(error: Exception, path: str) -> Response:
    """Return the response for a failure that nobody expected, or for memory that the system refused.

    The log has it under the request's id.
    """
    if (refused := memory_refused(error)) is not None:
        return error_response(refused, path)
    return problem_response(
        500,
        _("Something went wrong on our side."),
        _("The log has the details under the reference {reference}.").format(reference=current_request_id()),
        path=path,
    )


def install(api: FastAPI) -> None:
    """Register handlers so that `api` answers every failure with a problem document."""

    @api.exception_handler(MillpondError)
    async def expected(request: Request, error: MillpondError) -> Response:
        return error_response(error, request.url.path)

    @api.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        # The values are left out on purpose: they may be long or private.
        faults = [
            {"where": shown("/".join(str(step) for step in fault["loc"])), "what": shown(fault["msg"])}
            for fault in error.errors()[:MAX_FAULTS]
        ]
        first = faults[0] if faults else {"where": "body", "what": ""}
        return problem_response(
            422,
            _("{where}: {what}").format(**first),
            _("The form of every request is described at /docs."),
            kind=ErrorKind.BAD_INPUT,
            path=request.url.path,
            parameter=first["where"].partition("/")[2] or None if faults else None,
            errors=faults,
        )

    @api.exception_handler(Exception)
    async def defect(request: Request, error: Exception) -> Response:
        return defect_response(error, request.url.path)

    @api.exception_handler(ClientDisconnect)
    async def gone(_request: Request, _error: ClientDisconnect) -> Response:
        return Response(status_code=CLIENT_CLOSED_REQUEST)

    @api.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        path = request.url.path
        if error.status_code == 404:
            detail = _("There is nothing at {path}.").format(path=shown(path))
            return problem_response(404, detail, _("/docs lists what there is."), kind=ErrorKind.NOT_FOUND, path=path)
        detail = str(error.detail)
        if error.status_code == 405:
            detail = _("{method} is not possible at {path}.").format(method=request.method, path=shown(path))
        kind = ErrorKind.BAD_INPUT if error.status_code < 500 else None
        response = problem_response(
            error.status_code,
            detail,
            _("The form of every request is described at /docs."),
            kind=kind,
            path=path,
        )
        response.headers.update(error.headers or {})
        if error.status_code == 405:
            response.headers["Allow"] = ", ".join(sorted(_methods_at(api, path)))
        return response


def _methods_at(api: FastAPI, path: str) -> set[str]:
    """Return the methods of all routes at a path; a route by itself knows but its own."""
    scope = {"type": "http", "path": path, "root_path": "", "headers": []}
    return {
        name
        for name in HTTP_METHODS
        if any(route.matches({**scope, "method": name})[0] is Match.FULL for route in api.routes)
    }


def shown(text: str) -> str:
    """Return the beginning of what a client sent, as it may be sent back: characters only, and not many."""
    return text[:MAX_SHOWN].encode("utf-8", "replace").decode()


class Projection(BaseModel):
    """A body that is read from a domain value's attributes and leaves some out, renames or computes some.

    Where a body repeats a domain type field by field there is none: the frozen dataclass itself is served.
    """

    model_config = ConfigDict(from_attributes=True)

    @classmethod
    def of(cls, value: object, **others: Any) -> Self:
        """Return the body for `value`: each field is the attribute of that name, unless it is among `others`."""
        fields = {name: getattr(value, name) for name in cls.model_fields if name not in others}
        return cls.model_validate(fields | others)


class ProblemOut(BaseModel):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    hint: str
    request_id: str
    errors: list[dict[str, Any]] = Field([], description="The faults one by one, where there are several")
    error: dict[str, Any] = Field({}, description="Under /v1: the same in the form of OpenAI's protocol")
    text: str = Field("", description="What of an answer had come before it broke off")


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the description of a route's expected failures, for its `responses`."""
    # No `model`: FastAPI would build a validator for each status of each route; console/api/openapi.py describes them.
    return {status: {"content": {MEDIA_TYPE: {}}} for status in statuses}


def other_forms(*media_types: str) -> dict[int | str, dict[str, Any]]:
    """Return the description of forms that an answer with status 200 can have beside JSON, for `responses`."""
    events = "text/event-stream"  # each event is a value of its own
    return {200: {"content": {each: {} if each == events else {"schema": {"type": "string"}} for each in media_types}}}
