"""A hook of schemathesis: texts that it takes for no match of a pattern, or for one, and that are the opposite.

It stands for properties of Unicode with classes that know few languages: ten digits for `\\p{N}`. A request made of
such a text says nothing of the API, whatever that answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import schemathesis
from schemathesis.core.jsonschema.patterns import normalize_regex

from console.api.inputs import VISIBLE, WORDS

_PATTERNS = [str(each["pattern"]) for each in (VISIBLE, WORDS)]
_MEANT = [jsonschema_rs.Draft202012Validator({"pattern": pattern}) for pattern in _PATTERNS]
_TAKEN = [re.compile(normalize_regex(pattern) or pattern) for pattern in _PATTERNS]


@schemathesis.hook
def filter_case(context: schemathesis.HookContext, case: schemathesis.Case) -> bool:
    """Return whether all texts of a request are to the generator what they are to the document."""
    return all(
        bool(taken.search(text)) == meant.is_valid(text)
        for part in (case.body, case.query, case.path_parameters)
        for text in _texts(part)
        for taken, meant in zip(_TAKEN, _MEANT, strict=True)
    )


def _texts(value: Any) -> Iterator[str]:
    if type(value) is str:  # not the bytes of a file, which are one of its own kinds of texts
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
