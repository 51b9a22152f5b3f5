from __future__ import annotations

import subprocess
import sys
from collections import OrderedDict, deque
from dataclasses import dataclass

import numpy as np
import pytest
from pydantic import SecretStr

from services.core.known_secrets import register_secret
from services.memory.objects.describe import LONGEST, MASK, describe
from services.memory.objects.labels import key_text
from tests.servers import ROOT


@dataclass
class Account:
    name: str
    api_key: str
    chunk_tokens: int


class Slotted:
    __slots__ = ("left", "password")


@pytest.mark.parametrize(
    "value",
    [
        {"password": "hunter2-hunter2"},
        {"OPENAI_API_KEY": "hunter2-hunter2"},
        {b"token": b"hunter2-hunter2"},
        {"nested": {"Authorization": "hunter2-hunter2"}},
        Account("a", "hunter2-hunter2", 3),
        SecretStr("hunter2-hunter2"),
        [SecretStr("hunter2-hunter2")],
        "Bearer hunter2-hunter2",
        {"text": "sk-hunter2-hunter2"},
    ],
)
def test_secrets_are_masked(value: object) -> None:
    """A page about memory must not become the place where keys are read."""
    text = describe(value)
    assert "hunter2" not in text
    assert MASK in text


def test_a_text_is_masked_by_the_name_it_is_kept_under() -> None:
    """A bare string does not say that it is a key; where it lies does."""
    assert describe("hunter2", under="services.core.settings.Settings.openai_api_key") == MASK
    assert describe("hunter2", under="os.environ._data['HTTP_TOKEN']") == MASK
    assert describe("plain", under="services.core.settings.Settings.language") == "'plain'"


def test_a_secret_that_is_in_use_is_known_by_its_value() -> None:
    """Under a harmless name, inside a longer text, at the edge of what is shown; and what an address has before @."""
    register_secret("harmless words 0123456789")
    for value in (
        {"text": "harmless words 0123456789"},
        ["it is harmless words 0123456789, and more"],
        "x" * 50 + "harmless words 0123456789",
        b"harmless words 0123456789",
        "postgresql://me:short@db/pond",
    ):
        text = describe(value)
        assert "harmless" not in text
        assert "short" not in text
        assert MASK in text
    assert key_text("harmless words 0123456789") == "'…6789'"
    assert describe("https://example.org/@me") == "'https://example.org/@me'"


def test_counts_of_tokens_are_no_secret() -> None:
    """Masking whatever contains the word token would hide the figures of a language tool."""
    assert "chunk_tokens=3" in describe(Account("a", "b", 3))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (True, "True"),
        (12, "12"),
        ("a\nb", "'a\\nb'"),
        ([1, [2, [3, [4]]]], "[1, [2, […] (2)]]"),
        ({"a": 1}, "{'a': 1}"),
        ((1,), "(1)"),
        (deque([1, 2]), "[1, 2]"),
        (OrderedDict(a=1), "collections.OrderedDict {'a': 1}"),
        (list(range(100)), "[0, 1, 2, 3, 4, 5, … 100 in all]"),
        (np.zeros((3, 4)), "numpy.ndarray float64 (3, 4)"),
    ],
)
def test_plain_objects_show_their_contents(value: object, text: str) -> None:
    """What is shown should let a person recognise the object."""
    assert describe(value) == text


def test_slots_are_shown_and_empty_ones_left_out() -> None:
    """Objects with slots are what big tables are made of; they have no dictionary to read from."""
    value = Slotted()
    value.left = [1]
    assert describe(value).endswith("Slotted(left=[1])")


@pytest.mark.parametrize(
    "value", ["x" * 10_000_000, 1 << 20_000, [["y" * 500] * 50] * 50, {("k" * 200): "v" * 200}], ids=type
)
def test_text_is_bounded(value: object) -> None:
    """One huge value must not fill the page."""
    assert len(describe(value)) <= LONGEST


def test_personal_data_is_masked_in_previews() -> None:
    """Whoever looks at objects reads phone, identity and card numbers of others, in keys, bytes and integers too."""
    values = {
        "note": "call 138 1234 5678 or li.wei@example.com",
        "13912345678": ["身份证11010519491231002X"],
        "raw": b"tel +44 20 7946 0958",
        "card": 4111111111111111,
    }
    text = describe(values)
    for each in ("1234 5678", "li.wei@", "13912345678", "1101051949", "7946 0958", "4111111111111111"):
        assert each not in text
    assert "'call [phone …5678] or [email]'" in text
    assert "[ID]" in text


def test_a_number_at_the_end_of_a_preview_is_not_cut_before_it_is_masked() -> None:
    """The preview shows the first ten digits of a number that goes on behind it."""
    assert "1381234" not in describe("x" * 50 + " 13812345678 and more")


def test_the_end_of_a_key_is_masked() -> None:
    """The name of what holds an object has a number in its key."""
    assert key_text("session of 13812345678") == "'session of [phone …5678]'"


IMPORTS = """
import sys
from services.memory.objects.describe import describe

seen = {"card": "4111111111111111"}

class Finder:
    def find_spec(name, path=None, target=None):
        seen[name] = path

sys.meta_path.insert(0, Finder)
print(describe(seen), "stdnum" in seen)
"""


def test_what_grows_by_being_described_is_described() -> None:
    """A census would fail at a cache that masking fills: it imports what it needs when the first number is met."""
    done = subprocess.run([sys.executable, "-c", IMPORTS], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "4111111111111111" not in done.stdout
    assert done.stdout.endswith("True\n")
