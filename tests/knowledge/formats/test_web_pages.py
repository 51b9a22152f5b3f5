from __future__ import annotations

import pytest

from services.knowledge.notes import notes_of
from services.knowledge.parsing.results import ParsedFile
from tests.knowledge.parsing.pools import Parse


def text_of(found: ParsedFile) -> str:
    return "\n\n".join(section.text for section in found.sections)


def notes(found: ParsedFile) -> dict[str, int]:
    return {note.kind.value: note.count for note in notes_of(found.notes)}


TABLES = {
    "down and across": (
        (
            "<table><tr><th>Station<th colspan=2>Staff<tr><td rowspan=2>Bridge<td>Mott<td>day<tr><td>Pell<td>night"
            "<tr><td>Engine<td colspan=2>both</table>"
        ),
        (
            "| Station | Staff | Staff |\n| --- | --- | --- |\n| Bridge | Mott | day |\n| Bridge | Pell | night |\n"
            "| Engine | both | both |"
        ),
    ),
    "a block of both": (
        "<table><tr><td rowspan=2 colspan=2>Block<td>one<tr><td>two<tr><td>a<td>b<td>c</table>",
        "| Block | Block | one |\n| --- | --- | --- |\n| Block | Block | two |\n| a | b | c |",
    ),
    "to the end of its group": (
        "<table><tbody><tr><td rowspan=0>May<td>1<tr><td>2</tbody><tbody><tr><td>June<td>3</tbody></table>",
        "| May | 1 |\n| May | 2 |\n| June | 3 |",
    ),
    "two header rows": (
        (
            "<table><thead><tr><th rowspan=2>City<th colspan=2>2025<tr><th>May<th>June</thead>"
            "<tr><td>Rome<td>1<td>2</table>"
        ),
        "| City | 2025 May | 2025 June |\n| --- | --- | --- |\n| Rome | 1 | 2 |",
    ),
    "names in the first column": (
        "<table><tr><th>Name<td>Ada<tr><th>Phone<td>room 7</table>",
        "| Name | Ada |\n| Phone | room 7 |",
    ),
    "a title in one merged cell": (
        "<table><tr><td colspan=2>Price list<tr><th>Ware<th>Price<tr><td>Rope<td>12</table>",
        "Price list\n\n| Ware | Price |\n| --- | --- |\n| Rope | 12 |",
    ),
    "a table within a table": (
        "<table><tr><th>Part<th>Data<tr><td>Pump<td><table><tr><td>Bar<td>4<tr><td>rpm<td>90</table></table>",
        "| Part | Data |\n| --- | --- |\n| Pump | Bar: 4; rpm: 90 |",
    ),
    "a ruled one within": (
        "<table border=1><tr><td>Part<td>Data<tr><td>Pump<td><table><tr><td>Bar<td>4</table></table>",
        "| Part | Data |\n| --- | --- |\n| Pump | Bar: 4 |",
    ),
    "layout": (
        "<table role=presentation><tr><td><table><tr><td><p>Left.<p>More left.</table><td>Right.</table>",
        "Left.\n\nMore left.\n\nRight.",
    ),
    "spans that lie": (
        "<table><tr><td colspan=99999999999 rowspan=-3>a<tr><td colspan=x>b<td>c</table>",
        "| a |\n| b | c |",
    ),
    "bars and line ends in cells": (
        "<table><tr><th>Key<th>Text<tr><td>a|b<td>one<br>two<p>three</table>",
        "| Key | Text |\n| --- | --- |\n| a¦b | one two three |",
    ),
}


@pytest.mark.parametrize("case", TABLES)
def test_tables(parse: Parse, case: str) -> None:
    """The value stands in each cell that it covers; headers become one row; layout is no table."""
    page, expected = TABLES[case]
    assert text_of(parse(f"<html><body>{page}</body></html>".encode(), "a.html")) == expected


def test_lists_terms_and_preformatted_text(parse: Parse) -> None:
    """Lists keep their numbers and depth, definitions their term, code its line ends, lines their breaks."""
    page = (
        "<html><ol start=3><li>third<ul><li>inner</ul><li><p>fourth<p>goes on</ol><ol type=a><li>letter</ol>"
        "<dl><dt>Fee<dt>Charge<dd>12 euros<dd>in advance<dt>VAT</dl><pre>if x:\n    y</pre><p>one<br>two"
        "<details><summary>More</summary>inside</details>"
    )
    assert text_of(parse(page.encode(), "a.html")).split("\n\n") == [
        "3. third\n  - inner\n4. fourth\ngoes on\na. letter",
        "Fee, Charge: 12 euros",
        "in advance",
        "VAT",
        "if x:\n    y",
        "one\ntwo",
        "More",
        "inside",
    ]


def test_what_is_not_shown_is_left_out(parse: Parse) -> None:
    """Scripts, styles and templates are no text; what a page hides is noted; a page that hides its body is read."""
    page = (
        "<!DOCTYPE html><html><head><title>T</title><style>p{}</style></head><body style='display:none'><h1>Shown</h1>"
        "<script>var a='<p>script</p>'</script><template><p>template</p></template><noscript>Turn on</noscript>"
        "<p hidden>hidden one</p><div style='color:red; DISPLAY : none'><p>hidden<p>two</div><dialog>Closed</dialog>"
        "<iframe src='x.html'></iframe><video src=x></video><input type=hidden value=token><p>End.</p>"
    )
    found = parse(page.encode(), "a.html")
    assert text_of(found) == "Shown\n\nEnd."
    assert notes(found) == {"hidden_text": 3, "frames": 1, "media": 1}


def test_what_stands_within_a_line(parse: Parse) -> None:
    """Raised digits, addresses behind words, values of forms, pictures' descriptions, ruby, quotes and equations."""
    page = (
        "<html><p>10<sup>6</sup> m<sup>2</sup> H<sub>2</sub>O, 1<sup>st</sup></p>"
        "<p><a href='mailto:a@b.example?subject=x'>write</a> <a href='tel:+49-1'>+49-1</a> <a href='/x'>there</a></p>"
        "<form>Name <input value=Ada> <input type=checkbox checked>Yes <select><option>One<option>Two</select></form>"
        f"<p><img src='data:image/png;base64,{'A' * 3_000_000}' alt='Plan of the yard'>"
        "<img src=dot.gif width=1 height=1></p>"
        "<p><ruby>漢<rp>(</rp><rt>kan</rt><rp>)</rp></ruby>字 <q>cite</q></p>"
        "<p>So <math><mfrac><mrow><mi>a</mi><mo>+</mo><mi>b</mi></mrow><mn>2</mn></mfrac></math> holds.</p>"
    )
    found = parse(page.encode(), "a.html")
    assert text_of(found).split("\n\n") == [
        "10⁶ m² H2O, 1st",
        "write (a@b.example) +49-1 there",
        "Name Ada ☒ Yes One, Two",
        "Plan of the yard",
        "漢字 “cite”",
        "So (a+b)/2 holds.",
    ]
    assert notes(found) == {"pictures": 1, "reading_aids": 1, "equations": 1}


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<p>One<p>Two", "One\n\nTwo"),
        ("<p>So <math><p>x<math><mi\x01>a</math>y</math> b", "So xay b"),
        ("<td>cell<td>cell two", "cell\n\ncell two"),
        ("plain <b>words</b>", "plain words"),
        ("</div></p>text<b><i>bold</b></i> on", "textbold on"),
        (('<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title/><script src="x"/></head>'
         '<body><a id="x"/>Shown<div/><p>End</p></body></html>'), "Shown\n\nEnd"),
        ("<frameset><frame src=a><noframes>Without frames</noframes></frameset>", "Without frames"),
        ("<div>" * 5000 + "deep", "deep"),
    ],
    ids=["open", "equations in equations", "cells", "inline", "crossed", "XHTML", "frames", "deep"],
)  # fmt: skip
def test_pieces_and_broken_pages(parse: Parse, page: str, expected: str) -> None:
    """What browsers show of a page without a frame, or one that is nested wrongly, is read."""
    assert text_of(parse(page.encode(), "a.html")) == expected
