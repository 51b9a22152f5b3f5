from __future__ import annotations

import json
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
_NOTES = "A document carries notes about how it was read (`notes` of `/api/documents`"
_CORRECTIONS = "One or two typing errors in a word of Latin letters are forgiven"
_TRUST = "What the embedding counts is measured for each kind of text"
_READ = "answers / 200 / application/json / schema"
STATED = {
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
    unstated = {place for place in differing if not any(f"{place} / ".startswith(f"{one} / ") for one in STATED)}
    assert {place: (before.get(place), now.get(place)) for place in unstated} == {}
    assert [one for one in STATED if not any(f"{place} / ".startswith(f"{one} / ") for place in differing)] == []


def test_stated_differences_are_in_the_changelog() -> None:
    """Whoever uses the API finds each difference in the changelog."""
    text = " ".join(_CHANGELOG.read_text().split())
    assert [line for line in STATED.values() if line not in text] == []


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
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
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
