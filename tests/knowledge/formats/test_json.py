"""JSON, JSON Lines and notebooks through the real parser."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.knowledge.formats.registry import FORMATS
from services.knowledge.notes import notes_of
from services.knowledge.parsing.results import ParsedFile
from tests.knowledge.parsing.pools import Parse


def _text(found: ParsedFile) -> str:
    return "\n".join(section.text for section in found.sections)


def _leaves(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [leaf for key, member in value.items() for leaf in (key, *_leaves(member))]
    if isinstance(value, list):
        return [leaf for member in value for leaf in _leaves(member)]
    return [value] if isinstance(value, str) else [json.dumps(value)]


def test_flat_records_are_a_table(parse: Parse) -> None:
    """A value stands in a row with the keys as header, in every chunk; an absent key is an empty cell."""
    records = [{"sku": f"A-{n}", "name": f"Pump {n}", "price": n + 0.5} for n in range(60)]
    del records[7]["name"]
    found = parse(json.dumps(records).encode(), "stock.json", chunk_tokens=100)
    assert found.media_type == "application/json"
    assert "| A-41 | Pump 41 | 41.5 |" in _text(found)
    assert "| A-7 |  | 7.5 |" in _text(found)
    assert all(chunk.text.startswith("| sku | name | price |") for chunk in found.chunks)


def test_nested_values_keep_their_path(parse: Parse) -> None:
    """A question for a value finds its key and what it belongs to; long parts have their keys as headings."""
    config = {
        "server": {"tls": {"port": 8443, "ciphers": ["TLS_AES_128", "TLS_AES_256"]}, "name": None},
        "notes": {f"topic {n}": {"text": f"Long explanation number {n}. " * 30, "done": n % 2 == 0} for n in range(5)},
    }
    found = parse(json.dumps(config).encode(), "config.json")
    text = _text(found)
    assert "server.tls.port: 8443" in text
    assert "server.tls.ciphers: TLS_AES_128, TLS_AES_256" in text
    assert "server.name: null" in text
    assert ("notes", "topic 3") in {section.heading for section in found.sections} or "topic 3.done: false" in text


def test_records_with_parts_stay_whole(parse: Parse) -> None:
    """What belongs to an order stands in one chunk with the order's number."""
    orders = [
        {
            "id": f"A-{n}",
            "customer": {"name": f"Customer {n}", "city": f"City {n}"},
            "items": [{"sku": f"S{n}{k}", "qty": k} for k in range(2)],
            "note": "Deliver to the back door, and ring twice.\nNo parking there. " * 2,
        }
        for n in range(40)
    ]
    found = parse(json.dumps({"company": "Acme", "orders": orders}).encode(), "orders.json", chunk_tokens=160)
    for n in range(40):
        chunk = next(chunk for chunk in found.chunks if f"customer.city: City {n}\n" in chunk.text)
        assert f"orders[{n}] A-{n}" in chunk.text
        assert f"items[1].sku: S{n}1" in chunk.text


def test_nothing_of_a_json_file_is_lost(parse: Parse) -> None:
    """Every key and value comes out: numbers as written, keys that come twice, empty lists, texts of several lines."""
    data = b"""{"id": 12345678901234567890123, "price": 1.10, "exp": 1E-7, "a": 1, "a": 2, "none": null, "list": [],
        "object": {}, "mixed": [1, "two", {"three": [3, [4]]}], "text": "one\\ntwo", "empty": "", "yes": true,
        "messages": [
        {"from": "Ada", "text": ["Hello ", {"type": "bold", "text": "world"}]}, {"from": "Bo", "text": "Hi"}]}"""
    text = _text(parse(data, "x.json"))
    for line in (
        "id: 12345678901234567890123",
        "price: 1.10",
        "exp: 1E-7",
        "a: 1",
        "a: 2",
        "none: null",
        "list: []",
        "object: {}",
        "yes: true",
        'empty: ""',
    ):
        assert line in text.splitlines()
    for leaf in ("two", "three", "3", "4", "one\ntwo", "Ada", "bold", "world", "Hi"):
        assert leaf in text


def test_a_chat_export_reads_as_a_conversation(parse: Parse) -> None:
    """Messages of an export stay together with who wrote them, whatever their number."""
    messages = [
        {"id": n, "from": {"name": "Ada" if n % 2 else "Bo"}, "text": f"Message {n}\nwith a second line."}
        for n in range(300)
    ]
    found = parse(json.dumps({"name": "Team", "messages": messages}).encode(), "result.json")
    text = _text(found)
    assert all(f"Message {n}\nwith a second line." in text for n in range(300))
    chunk = next(chunk for chunk in found.chunks if "Message 77\n" in chunk.text)
    assert "messages[77]" in chunk.text
    assert chunk.heading == ("messages",)


def test_damaged_lines_are_kept_and_noted(parse: Parse) -> None:
    """The other lines of a log in JSON Lines are read; a damaged one stays as it is."""
    lines = [json.dumps({"time": f"12:0{n}", "event": f"start {n}"}) for n in range(6)]
    lines[3] = '{"time": "12:03", "event": "sta'
    found = parse("\n".join(lines).encode(), "log.jsonl")
    (note,) = notes_of(found.notes)
    assert note.text == "Line 4 is not of the file's format; kept as it stands"
    assert '4: {"time": "12:03", "event": "sta' in _text(found)
    assert "| 12:05 | start 5 |" in _text(found)


def test_the_rest_of_a_damaged_file_is_kept(parse: Parse) -> None:
    """What comes before the damage is read as values, what comes after as it stands."""
    found = parse(b'{"a": {"b": 5}, "list": [1, 2, 3], "bad": tru, "last": "word"}', "x.json")
    assert "a.b: 5" in _text(found)
    assert '"last": "word"' in _text(found)
    assert [kind for kind, _count, _place in found.notes] == ["damaged_lines"]
    commented = parse(b'// settings\n{"a": 1}', "x.json")
    assert "// settings" in _text(commented)


@pytest.mark.parametrize(
    ("data", "name", "kind"),
    [
        (b'{"a": 1}', "x.txt", "json"),
        (b'[{"a": 1}, {"a": 2}]', "noending", "json"),
        (b'{"a": 1}\n{"a": 2}\n', "x.log", "json"),
        (b"{not json} at all", "x.txt", "text"),
        (b"[1] a footnote\n[2] another", "notes.txt", "text"),
        (b'{"cells": [{"cell_type": "raw", "source": "x"}], "nbformat": 4}', "x.json", "notebook"),
    ],
)
def test_json_is_recognised_by_its_content(parse: Parse, data: bytes, name: str, kind: str) -> None:
    """A text that is JSON as a whole is read as such; one that only begins like it stays a text."""
    assert parse(data, name).media_type == FORMATS[kind].media_type


def test_deep_and_huge_json_does_no_harm(parse: Parse) -> None:
    """Nesting without end is read as text, a long list without holding all of it as objects."""
    assert _text(parse(b"[" * 100_000, "deep.json")).startswith("[[[")
    for depth in (100, 400, 950):
        nested = b'{"a":' * depth + b'"word"' + b"}" * depth
        assert "word" in _text(parse(nested, "deep.json"))
    many = json.dumps([{"n": n, "name": f"row {n}"} for n in range(20_000)]).encode()
    assert "| 19999 | row 19999 |" in parse(many, "many.json").sections[-1].text


def _notebook(cells: list[dict[str, Any]]) -> bytes:
    return json.dumps(
        {"cells": cells, "metadata": {"language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 5}
    ).encode()


def test_cells_of_a_notebook_come_in_order(parse: Parse) -> None:
    """Markdown makes the headings, code and outputs follow; pictures are noted, long outputs cut and noted."""
    found = parse(
        _notebook(
            [
                {"cell_type": "markdown", "source": ["# Sales\n", "\n", "Figures of 2026."]},
                {
                    "cell_type": "code",
                    "source": "# not a heading\nprint(total)",
                    "outputs": [
                        {"output_type": "stream", "name": "stdout", "text": ["1234.50\n"]},
                        {
                            "output_type": "display_data",
                            "data": {"image/png": "iVBORw0KGgo=", "text/plain": ["<Figure size 640x480>"]},
                        },
                        {"output_type": "stream", "name": "stdout", "text": "line\n" * 5000},
                        {
                            "output_type": "error",
                            "ename": "E",
                            "evalue": "v",
                            "traceback": ["\x1b[31mKeyError\x1b[0m: 'x'"],
                        },
                    ],
                },
                {"cell_type": "markdown", "source": "## Next\n![chart](attachment:a.png)\nDone."},
                {"cell_type": "code", "source": "", "outputs": []},
            ]
        ),
        "sales.ipynb",
    )
    assert found.media_type == "application/x-ipynb+json"
    assert [section.heading for section in found.sections] == [("Sales",), ("Sales", "Next")]
    text = _text(found)
    assert text.index("Figures of 2026") < text.index("print(total)") < text.index("1234.50") < text.index("Done.")
    assert "KeyError: 'x'" in text
    assert "iVBOR" not in text
    assert text.count("line\n") < 1000
    assert sorted((kind, count) for kind, count, _place in found.notes) == [("cut_outputs", 1), ("pictures", 2)]


def test_an_old_notebook_is_read(parse: Parse) -> None:
    """Version 3 had worksheets, inputs and headings as cells."""
    old = {
        "nbformat": 3,
        "worksheets": [
            {
                "cells": [
                    {"cell_type": "heading", "level": 1, "source": "Title"},
                    {
                        "cell_type": "code",
                        "input": "x = 1",
                        "outputs": [{"output_type": "pyout", "text": ["42"], "png": "AAAA"}],
                    },
                ]
            }
        ],
    }
    found = parse(json.dumps(old).encode(), "old.ipynb")
    assert found.sections[0].heading == ("Title",)
    assert "x = 1" in found.sections[0].text
    assert "42" in found.sections[0].text


def test_every_leaf_of_a_random_document_comes_out(parse: Parse) -> None:
    """Deep, wide and irregular: no key and no value is missing."""
    value: Any = {"leaf": "w0"}
    for level in range(12):
        value = {
            f"k{level}": value,
            f"l{level}": [{"a": f"v{level}-{n}", "b": [f"x{level}-{n}", {"c": f"y{level}-{n}"}]} for n in range(5)],
            f"t{level}": [{"p": f"p{level}-{n}", "q": n * 1.5} for n in range(4)],
        }
    text = _text(parse(json.dumps(value).encode(), "deep.json")) + " ".join(
        " ".join(section.heading) for section in parse(json.dumps(value).encode(), "deep.json").sections
    )
    assert [leaf for leaf in _leaves(value) if leaf not in text] == []
