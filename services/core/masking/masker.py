"""Text with what is personal or secret replaced by its kind: `[phone …5678]`, `[card …1111]`, `[email]`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from services.core.masking.finder import find
from services.core.masking.kinds import PersonalFinding

_ROUNDS = 5  # what stands beside a mask may look different than before; in practice one is enough
# A number that is a value of JSON, and what follows one: as text it needs quotes.
_JSON_BEFORE = re.compile(r"\"\s{0,8}:\s{0,8}\Z")
_JSON_ITEM_BEFORE = re.compile(r"[\[,]\s{0,80}\Z")
_QUOTE_REACH = 4_000
_JSON_AFTER = re.compile(r"\s{0,80}(?:[,}\]]|\Z)")


def mask(text: str, *, json: bool | None = None) -> str:
    """Return `text` with personal data and secrets replaced; masking twice changes nothing more.

    JSON stays JSON: where a number was, a text is.

    Args:
        text: any text.
        json: whether it is JSON, or a piece of it; None: as it begins.
    """
    for _round in range(_ROUNDS):
        findings = find(text)
        if not findings:
            break
        if json is None:
            json = text.lstrip()[:1] in {"{", "["}
        text = replaced(text, findings, json=json)
    return text


def replaced(text: str, findings: list[PersonalFinding], *, json: bool) -> str:
    """Return `text` with findings replaced."""
    parts: list[str] = []
    done = 0
    for finding in findings:
        parts.append(text[done : finding.start])
        word = f"[{finding.kind} …{finding.shown}]" if finding.shown else f"[{finding.kind}]"
        quote = _json_quote(text, finding, json=json)
        parts.append(f"{quote}{word}{quote}")
        done = finding.end
    return "".join([*parts, text[done:]])


def _json_quote(text: str, finding: PersonalFinding, *, json: bool) -> str:
    r"""Return the quote that the mask of a number of JSON needs, `\"` within a text of JSON; "" for anything else."""
    number = text[finding.start : finding.end]
    if not (number.isascii() and number.isdigit()):
        return ""
    before = text[max(0, finding.start - 100) : finding.start]
    if not (_JSON_BEFORE.search(before) or (json and _JSON_ITEM_BEFORE.search(before))):
        return ""
    if not _JSON_AFTER.match(text, finding.end):
        return ""
    last = text.rfind('"', max(0, finding.start - _QUOTE_REACH), finding.start)
    begin = last
    while begin > 0 and text[begin - 1] == "\\":
        begin -= 1
    slashes = last - begin if last >= 0 else 0
    return "\\" * slashes + '"' if slashes % 2 else '"'  # an even number belongs to the text before


def mask_texts(value: Any) -> Any:
    """Return a value of JSON (dictionaries, lists, tuples, texts) with all its texts masked, the keys too."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, Mapping):
        return {mask_texts(key): mask_texts(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [mask_texts(item) for item in value]
    return value
