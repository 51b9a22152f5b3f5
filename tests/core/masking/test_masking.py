# ruff: noqa: E501 - tables of examples, one long line each
from __future__ import annotations

import csv
import io
import json
import random
import string
from typing import Any

import pytest

from services.core.masking import PersonalKind, find, mask, mask_texts
from tests.core.masking.held_out_style import HeldOutStyle
from tests.core.masking.planted import Values
from tests.core.masking.second_tuning_style import SecondTuningStyle
from tests.core.masking.tuning_style import TuningStyle

ID_NUMBER = "11010519491231002X"  # the example of GB 11643


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("电话13812345678，身份证11010519491231002X号", "电话[phone …5678]，身份证[ID]号"),
        ("他的手机是１３８１２３４５６７８吗", "他的手机是[phone …5678]吗"),
        ("+86 138 1234 5678 / 0086-138-1234-5678 / (86)13812345678", "[phone …5678] / [phone …5678] / [phone …5678]"),
        ("010-12345678转801，(0755)81234567，400-820-8820", "[phone …8801]，[phone …4567]，[phone …8820]"),
        ("call +44 20 7946 0958 or +1 (415) 555-2671.", "call [phone …0958] or [phone …2671]."),
        ("\u202d138 1234 5678\u202c", "\u202d[phone …5678]\u202c"),
        ("身份证 110105491231002", "身份证 [ID]"),
        ("4111-1111-1111-1111，6222 0200 0000 0000 004", "[card …1111]，6222 0200 0000 0000 004"),
        ("Zhang.Wei@example.com，a%40example.com、li＠example.com", "[email]，[email]、[email]"),
        ("IBAN DE89 3704 0044 0532 0130 00 at", "IBAN [IBAN …3000] at"),
        ("护照E12345678；passport no. 123456789; K1234567E", "护照[passport]；passport no. [passport]; [passport]"),
        ("密码：Abc@1234，password is hunter2", "密码：[secret]，password is [secret]"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic [secret]"),
        ("postgres://app:p@ss1@db.example.com:5432/x", "postgres://app:[secret]@db.example.com:5432/x"),
        ("key sk-abcdefghijklmnop1234", "key [secret …1234]"),
        ("curl -H 'Authorization: Bearer mp_0123456789abcdefABCD'", "curl -H 'Authorization: Bearer [secret …ABCD]'"),
        ("张伟_13812345678.pdf", "张伟_[phone …5678].pdf"),
        ("tel:+8613812345678?x=%2B8613912345678", "tel:[phone …5678]?x=[phone …5678]"),
    ],
)  # fmt: skip
def test_what_is_personal_is_replaced_by_its_kind(text: str, masked: str) -> None:
    """A number, an address or a key stays readable, or more than it is gone."""
    assert mask(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "2024-11-29 12:00:00,123 INFO 192.168.100.200:8501 in 1234567 us", "订单号：6222020000000000000，金额13812345678元",
        "order no. 13812345678, 4111111111111112, ISBN 978-7-111-12345-6", "110105194912310021", "v1.2.3.4567 of 20241129120000",
        "550e8400-e29b-41d4-a716-446655440000 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "icon@2x.png, @app.route, x@y",
        "max_tokens=512, token: str = Field(), password: required, 密码不能为空, Bearer authentication", "rows 150 2000 3000 400 20", "ext. 8001, 13 GB, 3.14159265358979",
        "password = os.environ['X']; login(user=user, password=password)", "report.pdf", "年度报告2024.docx", "¥13,812,345,678.00",
    ],
)  # fmt: skip
def test_what_only_looks_like_it_stays(text: str) -> None:
    """Dates, amounts, versions, hashes and code cannot be read any more."""
    assert mask(text) == text


def test_what_is_found_lies_where_it_is_said_to() -> None:
    """What reads the places marks or cuts the wrong characters."""
    text = "致电 13812345678 或 wang@example.com"
    assert [(each.kind, text[each.start : each.end]) for each in find(text)] == [
        (PersonalKind.PHONE, "13812345678"),
        (PersonalKind.EMAIL, "wang@example.com"),
    ]


def test_masking_twice_changes_nothing() -> None:
    """A mask, or what stands beside it, is masked again: log lines that pass two handlers differ."""
    styles = [TuningStyle(3), SecondTuningStyle(3), HeldOutStyle(3)]
    for style in styles:
        for _number in range(60):
            once = mask(style.sample().text)
            assert mask(once) == once


def test_masking_twice_changes_nothing_in_texts_without_sense() -> None:
    """The same, where signs, digits and words follow each other at random."""
    pieces = ["13812345678", "138", " ", "-", "1234", "5678", "(", ")", "+", "86", "a@b.com", "password=", "token: ", "[", "]", "电话", "护照",
              "E12345678", "DE89", "3704", ".", ":", '"', "\\", "%40", "x", ID_NUMBER, "，", "\n", "sk-", "Bearer ", "eyJ", "@", "0", "4111111111111111", "，order "]  # fmt: skip
    chosen = random.Random(5)
    for _number in range(800):
        once = mask("".join(chosen.choices(pieces, k=chosen.randint(2, 14))))
        assert mask(once) == once


def test_json_stays_json() -> None:
    """A line of JSON with a number or a key in it cannot be read by a machine any more."""
    v = Values(9)
    chosen = v.random
    for _number in range(100):
        values: list[Any] = [
            int(v.mobile()),
            v.mobile(),
            v.id_number(),
            int(v.card()),
            v.token(),
            v.private_key(),
            f'a "{v.mobile()}" b',
            v.password() + '"\\',
            None,
            True,
            1.5,
        ]
        value = {
            v.pick("phone", "password", "token", "note", "手机", "authorization", "cookie"): chosen.choice(values),
            "list": [chosen.choice(values) for _item in range(3)],
            "inner": json.dumps({"password": v.password(), "phone": int(v.mobile())}),
        }
        for text in (
            json.dumps(value),
            json.dumps(value, ensure_ascii=False, indent=2),
            json.dumps([value], separators=(",", ":")),
        ):
            masked = json.loads(mask(text))
            assert masked
            assert "PRIVATE KEY-----\\nM" not in mask(text)


def test_csv_keeps_its_columns() -> None:
    """A table that is masked has other columns than before."""
    v = Values(10)
    out = io.StringIO()
    writer = csv.writer(out)
    for _row in range(50):
        writer.writerow(
            [v.mobile(), v.id_number(), "a@example.com", v.card(), "x, y", f"password={v.password()}", "12.50"]
        )
    rows = list(csv.reader(io.StringIO(mask(out.getvalue()))))
    assert {len(row) for row in rows} == {7}
    assert all(row[4] == "x, y" and row[6] == "12.50" and row[2] == "[email]" for row in rows)


def test_escaped_texts_are_read_as_what_they_say() -> None:
    r"""A number behind an escape (`张138...`, `\n138...`, `%20138...`) is taken for a longer one and stays."""
    for before in ("\\u5f20", "\\n", "%20", "%E5%BC%A0", "%3D", "\\u4f1f", "\\t"):
        assert mask(f"{before}13812345678") == f"{before}[phone …5678]"


def test_every_character_before_and_behind_a_number() -> None:
    """Chinese text, signs or brackets directly beside a number hide it."""
    for sign in "，。；：！？、（）【】《》“”‘’·…—号的是与和 \t\n\r,;:!?/|<>{}[]()\"'`~^&*=_中あア한":
        assert "[phone …5678]" in mask(f"{sign}13812345678{sign}"), repr(sign)
        assert "[ID]" in mask(f"{sign}{ID_NUMBER}{sign}"), repr(sign)
    for letter in string.ascii_letters:
        assert mask(f"{letter}13812345678") == f"{letter}13812345678"


def test_texts_within_values_are_masked() -> None:
    """A dictionary is shown with a number in a list or in a key."""
    value = {"a": ["tel 13812345678", 5], "li@example.com": {"b": ("x", None)}}
    assert mask_texts(value) == {"a": ["tel [phone …5678]", 5], "[email]": {"b": ["x", None]}}
