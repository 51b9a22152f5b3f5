from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from console.api.application import create_api

_RELEASED = Path(__file__).with_name("openapi-0.1.0.json")
_CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"
_WORDS = {"title", "description", "summary", "operationId", "tags"}  # they may change at any time

# What differs from the released document, by the beginning of its place, and the line of the changelog that says so.
_ALWAYS_SENT = (
    "The OpenAPI document lists every field of an answer as required: `errors` of an upload and `minima` and `maxima` "
    "of the memory history, which were always sent, now too."
)
_DESCRIBED = (
    "The OpenAPI document describes the answers of `/api/requests`, `/api/caches`, `/api/status` and `/api/objects` "
    "field by field."
)
_IMPORT = "`millpond import PATH` takes over the knowledge base of a LangChain or Langchain-Chatchat installation"
_COMPLETIONS = "`/v1/chat/completions` takes what its clients send"
_FINISH = "An answer says why it ended: `finish_reason` of messages and completions"
_CAPABILITIES = "What a chat server does not take of the protocol"
_ADDED_BY = "Documents have `added_by`, the person who added them"
_NOTES = "A document carries notes about how it was read (`notes` of `/api/documents`"
_CORRECTIONS = "One or two typing errors in a word of Latin letters are forgiven"
_TRUST = "What the embedding counts is measured for each kind of text"
_LIMITS = "Texts and numbers that are sent have limits, which the OpenAPI document names"
_FAILURES = "The OpenAPI document describes the failures of every route"
_AUDIT = "The page *Audit* and `/api/audit` have filters and exports"
_FORMS = "The OpenAPI document names every form of an answer"
_CLOSED = "What a person closes is said to be closed by a person"
_GONE = "Deleted means gone: ten seconds after a deletion nothing of it is left in any file"
_IDENTITY = "An object is identified by more than its address"
_APART = "What watching the memory holds is left out of the lists of objects and allocations"
_ACCOUNTS = "Accounts over HTTP: `/api/people`, `/api/groups`, `/api/account`"
_MODEL_CHANGE = "A data folder keeps its embedding model."
_BACKUPS = "`GET /api/backups`, `POST /api/backups`, `POST /api/backups/verification`"
_PROFILES = "`GET /api/tracing/snapshots/{snapshot_id}/profile`"
_EXCERPT = "`GET /api/conversations` with a `query` gives each an `excerpt`"
_FEEDBACK = "`PUT /api/conversations/{conversation_id}/messages/{message_id}/feedback`"
_BOUNDS = {"minimum", "maximum", "exclusiveMinimum", "maxLength", "pattern"}
_FAILED = re.compile(r" / answers / [45def]\w+( /|$)")
_READ = "answers / 200 / application/json / schema"
_WATCHING = "What watching the memory costs is one figure everywhere"
_COURSE = "The verdict says since when memory is flat, and names what it rose and fell by before"
_MEASURED = (
    "`measured_at` of `/api/status`, `/api/requests` and `/api/budget` and `since_ledger_bytes` of `/api/memory`"
)
_RECOGNITION = "`recognition` of `/api/documents`, `GET /api/documents/{document_id}/recognition`"
_PAGE_PICTURES = "`GET /api/documents/{document_id}/pages/{page}`"
_NODES = "`GET /api/nodes`, `POST /api/nodes/{number}/take-over`, `DELETE /api/nodes/{number}`"
_SHARED_CACHE = "`GET /api/caches/shared`"
_OTHER_NODES = "`GET /api/nodes/{number}/memory`,"
_DRAIN = "`POST /api/nodes/{number}/drain` and `DELETE"
_REREAD = "by `POST /api/documents/{document_id}/reread` (a job of the kind `reread`)"
STATED = {
    "PUT /api/conversations/{conversation_id}/messages/{message_id}/feedback": _FEEDBACK,
    f"GET /api/conversations / {_READ} / properties / conversations / items / properties / excerpt": _EXCERPT,
    f"GET /api/conversations / {_READ} / properties / conversations / items / required / excerpt": _EXCERPT,
    f"GET /api/documents / {_READ} / properties / documents / items / properties / recognition": _RECOGNITION,
    f"GET /api/documents / {_READ} / properties / documents / items / required / recognition": _RECOGNITION,
    f"GET /api/documents/{{document_id}} / {_READ} / properties / recognition": _RECOGNITION,
    f"GET /api/documents/{{document_id}} / {_READ} / required / recognition": _RECOGNITION,
    f"POST /api/documents/{{document_id}}/enable / {_READ} / properties / recognition": _RECOGNITION,
    f"POST /api/documents/{{document_id}}/enable / {_READ} / required / recognition": _RECOGNITION,
    f"POST /api/documents/{{document_id}}/disable / {_READ} / properties / recognition": _RECOGNITION,
    f"POST /api/documents/{{document_id}}/disable / {_READ} / required / recognition": _RECOGNITION,
    f"GET /api/jobs / {_READ} / properties / jobs / items / properties / kind": _REREAD,
    "POST /api/jobs/{job_id}/retry / answers / 202 / application/json / schema / properties / kind": _REREAD,
    "POST /api/documents/{document_id}/reread": _REREAD,
    "GET /api/documents/{document_id}/recognition": _RECOGNITION,
    "GET /api/documents/{document_id}/pages/{page}": _PAGE_PICTURES,
    f"GET /api/memory / {_READ} / properties / verdict / properties / course": _COURSE,
    f"GET /api/memory / {_READ} / properties / verdict / required / course": _COURSE,
    f"GET /api/memory / {_READ} / properties / verdict / properties / left_out": _COURSE,
    f"GET /api/memory / {_READ} / properties / verdict / required / left_out": _COURSE,
    f"GET /api/memory / {_READ} / properties / verdict / properties / window_end": _COURSE,
    f"GET /api/memory / {_READ} / properties / verdict / required / window_end": _COURSE,
    f"POST /api/memory/trim / {_READ} / properties / verdict / properties / course": _COURSE,
    f"POST /api/memory/trim / {_READ} / properties / verdict / required / course": _COURSE,
    f"POST /api/memory/trim / {_READ} / properties / verdict / properties / left_out": _COURSE,
    f"POST /api/memory/trim / {_READ} / properties / verdict / required / left_out": _COURSE,
    f"POST /api/memory/trim / {_READ} / properties / verdict / properties / window_end": _COURSE,
    f"POST /api/memory/trim / {_READ} / properties / verdict / required / window_end": _COURSE,
    f"GET /api/memory/events / {_READ} / properties / events / items / properties / id": _COURSE,
    f"GET /api/memory/events / {_READ} / properties / events / items / required / id": _COURSE,
    "GET /api/memory/events/{event_id}": _COURSE,
    f"GET /api/memory/events / {_READ} / properties / events / items / properties / kind": _COURSE,
    "GET /api/memory/events / parameters / query kind": _COURSE,
    f"GET /api/memory / {_READ} / properties / watching": _WATCHING,
    f"GET /api/memory / {_READ} / required / watching": _WATCHING,
    f"GET /api/memory / {_READ} / properties / since_ledger_bytes": _MEASURED,
    f"GET /api/memory / {_READ} / required / since_ledger_bytes": _MEASURED,
    f"GET /api/budget / {_READ} / properties / measured_at": _MEASURED,
    f"GET /api/budget / {_READ} / required / measured_at": _MEASURED,
    f"PUT /api/budget / {_READ} / properties / measured_at": _MEASURED,
    f"PUT /api/budget / {_READ} / required / measured_at": _MEASURED,
    f"GET /api/documents / {_READ} / properties / documents / items / properties / added_by": _ADDED_BY,
    f"GET /api/documents / {_READ} / properties / documents / items / required / added_by": _ADDED_BY,
    f"GET /api/documents/{{document_id}} / {_READ} / properties / added_by": _ADDED_BY,
    f"GET /api/documents/{{document_id}} / {_READ} / required / added_by": _ADDED_BY,
    f"POST /api/documents/{{document_id}}/disable / {_READ} / properties / added_by": _ADDED_BY,
    f"POST /api/documents/{{document_id}}/disable / {_READ} / required / added_by": _ADDED_BY,
    f"POST /api/documents/{{document_id}}/enable / {_READ} / properties / added_by": _ADDED_BY,
    f"POST /api/documents/{{document_id}}/enable / {_READ} / required / added_by": _ADDED_BY,
    f"GET /api/documents / {_READ} / properties / documents / items / properties / notes": _NOTES,
    f"GET /api/documents / {_READ} / properties / documents / items / required / notes": _NOTES,
    f"GET /api/documents/{{document_id}} / {_READ} / properties / notes": _NOTES,
    f"GET /api/documents/{{document_id}} / {_READ} / required / notes": _NOTES,
    f"POST /api/documents/{{document_id}}/disable / {_READ} / properties / notes": _NOTES,
    f"POST /api/documents/{{document_id}}/disable / {_READ} / required / notes": _NOTES,
    f"POST /api/documents/{{document_id}}/enable / {_READ} / properties / notes": _NOTES,
    f"POST /api/documents/{{document_id}}/enable / {_READ} / required / notes": _NOTES,
    "POST /api/search / answers / 200 / application/json / schema / properties / corrections": _CORRECTIONS,
    "POST /api/search / answers / 200 / application/json / schema / required / corrections": _CORRECTIONS,
    "GET /api/search/trust": _TRUST,
    "GET /api/embedding-model": _MODEL_CHANGE,
    "POST /api/embedding-model/measurement": _MODEL_CHANGE,
    "POST /api/embedding-model/change": _MODEL_CHANGE,
    "POST /api/embedding-model/change/pause": _MODEL_CHANGE,
    "POST /api/embedding-model/change/resume": _MODEL_CHANGE,
    "DELETE /api/embedding-model/change": _MODEL_CHANGE,
    "GET /api/nodes": _NODES,
    "POST /api/nodes/{number}/take-over": _NODES,
    "DELETE /api/nodes/{number}": _NODES,
    "GET /api/nodes/{number}/memory": _OTHER_NODES,
    "GET /api/nodes/{number}/memory/history": _OTHER_NODES,
    "GET /api/nodes/{number}/memory/events": _OTHER_NODES,
    "GET /api/nodes/{number}/budget": _OTHER_NODES,
    "GET /api/nodes/{number}/collector": _OTHER_NODES,
    "POST /api/nodes/{number}/restart": _OTHER_NODES,
    "POST /api/nodes/{number}/drain": _DRAIN,
    "DELETE /api/nodes/{number}/drain": _DRAIN,
    "GET /api/backups": _BACKUPS,
    "POST /api/backups": _BACKUPS,
    "POST /api/backups/verification": _BACKUPS,
    "GET /api/caches/shared": _SHARED_CACHE,
    "GET /api/audit": _AUDIT,
    "GET /api/audit/export": _AUDIT,
    "GET /api/audit/verify": _AUDIT,
    "GET /api/tracing/snapshots/{snapshot_id}/profile": _PROFILES,
    "GET /readyz / answers / 200": _FORMS,
    "DELETE /api/requests/{id} / answers / 202": _FORMS,
    "GET /api/documents/{document_id}/original / answers / 200 / application/octet-stream": _FORMS,
    "GET /api/tracing/snapshots/{snapshot_id}/file / answers / 200 / application/octet-stream": _FORMS,
    "GET /api/memory/history / answers / 200 / text/csv": _FORMS,
    "GET /api/objects/containers / answers / 200 / text/csv": _FORMS,
    "GET /api/objects/summary / answers / 200 / text/csv": _FORMS,
    "GET /api/objects/types / answers / 200 / text/csv": _FORMS,
    "GET /api/tracing/export / answers / 200 / text/csv": _FORMS,
    "POST /v1/chat/completions / answers / 200 / text/event-stream": _FORMS,
    "POST /api/documents / answers / 202 / application/json / schema / required / errors": _ALWAYS_SENT,
    "GET /api/memory/history / answers / 200 / application/json / schema / required / minima": _ALWAYS_SENT,
    "GET /api/memory/history / answers / 200 / application/json / schema / required / maxima": _ALWAYS_SENT,
    "GET /api/requests / answers / 200": _DESCRIBED,
    "GET /api/caches / answers / 200": _DESCRIBED,
    "GET /api/status / answers / 200": _DESCRIBED,
    "POST /api/objects/census / answers / 201": _DESCRIBED,
    "GET /api/objects/census / answers / 200": _DESCRIBED,
    "GET /api/objects/objects / answers / 200": _DESCRIBED,
    "GET /api/objects/paths/{address} / answers / 200": _DESCRIBED,
    "GET /api/objects/repeats / answers / 200": _DESCRIBED,
    "POST /api/objects/repeats / answers / 202": _DESCRIBED,
    "POST /api/objects/repeats/mark / answers / 200": _DESCRIBED,
    "DELETE /api/objects/repeats / answers / 202": _DESCRIBED,
    "GET /api/objects/sizes / answers / 200": _DESCRIBED,
    "GET /api/objects/sizes/{owner} / answers / 200": _DESCRIBED,
    "POST /api/imports": _IMPORT,
    "PUT /api/collector / body / content / application/json / schema / properties / thresholds": _LIMITS,
    "GET /api/deletions": _GONE,
    "DELETE /api/deletions/quotes": _GONE,
    **{
        f"DELETE {path} / {part}": _GONE
        for path in ("/api/documents/{document_id}", "/api/collections/{collection_id}")
        for part in ("answers / 200", "parameters / query erase_quotes")
    },
    "GET /api/objects/paths/{address} / parameters / query evidence": _IDENTITY,
    "GET /api/objects/census / parameters": _APART,
    **{
        f"GET /api/{path} / parameters / query watching": _APART
        for path in (
            "objects/containers",
            "objects/objects",
            "objects/types",
            "tracing/compare",
            "tracing/export",
            "tracing/snapshots/{snapshot_id}",
        )
    },
    **{
        f"GET /api/tracing/{path} / {_READ} / {part} / watching_{name}": _APART
        for path in ("compare", "snapshots/{snapshot_id}")
        for part in ("properties", "required")
        for name in ("bytes", "bytes_diff", "blocks", "blocks_diff")
    },
    **{
        f"{method} /api/budget / {_READ} / properties / doors / items / {part} / {name}": _CLOSED
        for method in ("GET", "PUT")
        for part in ("properties", "required")
        for name in ("person", "since")
    },
    **dict.fromkeys(
        (
            "GET /api/people",
            "POST /api/people",
            "GET /api/people/{person_id}",
            "PATCH /api/people/{person_id}",
            "DELETE /api/people/{person_id}",
            "DELETE /api/people/{person_id}/second-factor",
            "GET /api/people/{person_id}/links",
            "POST /api/people/{person_id}/links",
            "POST /api/people/{person_id}/links/remove",
            "GET /api/people/{person_id}/sessions",
            "DELETE /api/people/{person_id}/sessions",
            "DELETE /api/people/{person_id}/sessions/{session_id}",
            "GET /api/people/{person_id}/tokens",
            "POST /api/people/{person_id}/tokens",
            "DELETE /api/people/{person_id}/tokens/{token_id}",
            "GET /api/groups",
            "POST /api/groups",
            "PATCH /api/groups/{group_id}",
            "DELETE /api/groups/{group_id}",
            "GET /api/groups/{group_id}/members",
            "PUT /api/groups/{group_id}/members/{person_id}",
            "DELETE /api/groups/{group_id}/members/{person_id}",
            "GET /api/account",
            "PUT /api/account/password",
            "POST /api/account/second-factor",
            "POST /api/account/second-factor/confirm",
            "POST /api/account/second-factor/remove",
            "POST /api/account/recovery-codes",
            "GET /api/account/sessions",
            "DELETE /api/account/sessions",
            "DELETE /api/account/sessions/{session_id}",
            "GET /api/account/tokens",
            "POST /api/account/tokens",
            "DELETE /api/account/tokens/{token_id}",
            "GET /api/collections/{collection_id}/grants",
            "PUT /api/collections/{collection_id}/grants",
        ),
        _ACCOUNTS,
    ),
    "POST /v1/chat/completions / body": _COMPLETIONS,
    "GET /api/conversations/{conversation_id}/messages / answers / 200": _FINISH,
    "POST /api/conversations/{conversation_id}/questions / answers / 200": _FINISH,
    "POST /api/status/chat-model/test": _CAPABILITIES,
    "DELETE /api/status/chat-model/capabilities": _CAPABILITIES,
}


def test_the_api_differs_from_the_released_one_only_as_stated() -> None:
    """Paths, parameters, status codes, and the names, types and presence of fields are those of 0.1.0, but for what the
    changelog states.
    """
    released = json.loads(_RELEASED.read_text())
    before, now = dict(_leaves(released)), dict(_leaves(contract(create_api().openapi())))
    differing = {place for place in before.keys() | now.keys() if before.get(place) != now.get(place)}
    differing = {
        place
        for place in differing
        if not _FAILED.search(place) and not _is_limit(place, before.get(place), now.get(place))
    }
    unstated = {place for place in differing if not any(f"{place} / ".startswith(f"{one} / ") for one in STATED)}
    assert {place: (before.get(place), now.get(place)) for place in unstated} == {}
    assert [one for one in STATED if not any(f"{place} / ".startswith(f"{one} / ") for place in differing)] == []


def test_stated_differences_are_in_the_changelog() -> None:
    """Whoever uses the API finds each difference in the changelog."""
    text = " ".join(_CHANGELOG.read_text().split())
    assert [line for line in (*STATED.values(), _LIMITS, _FAILURES) if line not in text] == []


def test_every_operation_describes_its_failures_as_problem_documents() -> None:
    """Those of 0.1.0 are still named, with the type that is sent; what has no status of its own is the default."""
    released, now = json.loads(_RELEASED.read_text()), create_api().openapi()
    for path, method, operation in _operations(now):
        failures = {status: answer for status, answer in operation["responses"].items() if status[0] not in "23"}
        assert "default" in failures, (method, path)
        before = released.get(f"{method.upper()} {path}", {"answers": {}})["answers"]
        kept = {status for status in before if status[0] in "45"}
        assert kept <= failures.keys(), (method, path)
        for status, answer in failures.items():
            if (path, status) != ("/readyz", "503"):  # its body says which component does not work
                name = answer["$ref"].rpartition("/")[2]
                assert list(now["components"]["responses"][name]["content"]) == ["application/problem+json"]


def test_the_document_is_completed_once_and_anew_for_a_new_route() -> None:
    """It would be gone through for every request, or a route that is added later would lack its failures."""
    api = create_api()
    first = api.openapi()
    responses = first["components"]["responses"].copy()
    assert api.openapi() is first
    assert all(first["components"]["responses"][name] is each for name, each in responses.items())

    @api.get("/api/later")
    def later() -> None: ...

    assert "default" in api.openapi()["paths"]["/api/later"]["get"]["responses"]


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield path, method, operation


def _is_limit(place: str, before: Any, now: Any) -> bool:
    """Return whether only limits of what is sent differ there: lengths and contents of texts, least and most."""
    if " / answers / " in place:
        return False
    return place.rpartition(" / ")[2] in _BOUNDS or _unbounded(before) == _unbounded(now)


def _unbounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_unbounded(each) for each in value]
    if isinstance(value, dict):
        return {name: _unbounded(each) for name, each in value.items() if name not in _BOUNDS}
    return value


def contract(document: dict[str, Any]) -> dict[str, Any]:
    """What a client relies on: schemas in place of references to them, without words for people.

    An answer's defaults say nothing to whoever reads it: they are left out. Those of a request count.
    """
    schemas = document["components"]["schemas"]
    return {
        f"{method.upper()} {path}": {
            "parameters": {
                f"{one['in']} {one['name']}": _plain(one["schema"], schemas) | {"required": one.get("required", False)}
                for one in operation.get("parameters", [])
            },
            "body": _plain(operation.get("requestBody"), schemas),
            "answers": {
                status: _plain(answer.get("content"), schemas, without={"default"})
                for status, answer in operation["responses"].items()
            },
        }
        for path, method, operation in _operations(document)
    }


def _plain(value: Any, schemas: dict[str, Any], without: set[str] | None = None) -> Any:
    """Return a schema with all others that it refers to in it."""
    dropped = without or set()
    if isinstance(value, list):
        return [_plain(each, schemas, dropped) for each in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        return _plain(schemas[value["$ref"].rpartition("/")[2]], schemas, dropped)
    plain = {name: _plain(each, schemas, dropped) for name, each in value.items() if name not in _WORDS | dropped}
    if "properties" in value:  # here the keys are names of fields, whatever they are called
        plain["properties"] = {name: _plain(each, schemas, dropped) for name, each in value["properties"].items()}
        plain["required"] = {name: name in value.get("required", []) for name in value["properties"]}
    return plain


def _leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, each in value.items():
            yield from _leaves(each, f"{place} / {name}" if place else name)
    else:
        yield place, value
