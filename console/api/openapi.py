"""What the OpenAPI document says beyond what FastAPI writes by itself: fields that are always sent, and failures.

Whatever fails is answered by a problem document. Each operation names the statuses that its form leads to and refers
to one description of each; `default` stands for those that any request can meet (405, 413, 421, 429, 500, 503, 504).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

from console.api.problems import MEDIA_TYPE, ProblemOut

_PROBLEM = "ProblemOut"
_DEFAULT = "Problem"
_INVALID = "422"


def completed(describe: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """Return `describe` with what FastAPI leaves out, added once to each document that it returns."""
    known: dict[str, Any] = {}

    def describe_all() -> dict[str, Any]:
        nonlocal known
        if (document := describe()) is not known:  # FastAPI keeps it until a route is added
            known = document
            _complete(document)
        return document

    return describe_all


def _complete(document: dict[str, Any]) -> None:
    """Add to FastAPI's document what it leaves out."""
    schemas = document["components"]["schemas"]
    schemas[_PROBLEM] = ProblemOut.model_json_schema(mode="serialization")
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own form of errors, which is never sent
        schemas.pop(name, None)
    responses: dict[str, Any] = document["components"].setdefault("responses", {})
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            _describe_failures(path, method, operation, responses)
    _describe_sent_fields(document)


def _describe_failures(path: str, method: str, operation: dict[str, Any], responses: dict[str, Any]) -> None:
    """Describe an operation's failures as problem documents; one that has a form of its own keeps it."""
    answers = operation["responses"]
    stated = {status for status, answer in answers.items() if status >= "4" and _is_problem(answer)}
    stated |= {"404"} if "{" in path else set()
    stated |= {"413", _INVALID} if "requestBody" in operation else set()
    stated |= {"403"} if method != "get" else set()
    for status in sorted(stated):
        answers[status] = {"$ref": f"#/components/responses/{_DEFAULT}{status}"}
        responses[f"{_DEFAULT}{status}"] = _problem(HTTPStatus(int(status)).phrase)
    answers["default"] = {"$ref": f"#/components/responses/{_DEFAULT}"}
    responses[_DEFAULT] = _problem("Any other failure")


def _problem(description: str) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{_PROBLEM}"}
    return {"description": description, "content": {MEDIA_TYPE: {"schema": schema}}}


def _is_problem(answer: dict[str, Any]) -> bool:
    """Return whether an answer is that of `problem_responses`, or FastAPI's description of an invalid request."""
    content = answer.get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    return MEDIA_TYPE in content or str(schema.get("$ref", "")).endswith("/HTTPValidationError")


def _describe_sent_fields(document: dict[str, Any]) -> None:
    """Describe each field of an answer as required: it is always sent, whether its type has a default or not."""
    schemas = document["components"]["schemas"]
    for methods in document["paths"].values():
        for operation in methods.values():
            answers = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
            for schema in _referenced(answers, schemas, set()):
                if "properties" in schema:
                    schema["required"] = list(schema["properties"])
                    for field in schema["properties"].values():
                        field.pop("default", None)


def _referenced(value: Any, schemas: dict[str, Any], seen: set[str]) -> Iterator[dict[str, Any]]:
    """Yield the schemas that `value` refers to, directly or through others, each once."""
    if isinstance(value, list):
        for each in value:
            yield from _referenced(each, schemas, seen)
    elif isinstance(value, dict):
        name = str(value.get("$ref", "")).rpartition("/")[2]
        if name and name not in seen:
            seen.add(name)
            yield schemas[name]
            yield from _referenced(schemas[name], schemas, seen)
        for each in value.values():
            yield from _referenced(each, schemas, seen)
