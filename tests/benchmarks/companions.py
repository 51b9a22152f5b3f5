"""What lies beside prose in a mixed library, each large enough to outnumber it, and questions with typing errors."""

from __future__ import annotations

import random
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Misreadings of text recognition.
_MISREAD = {"e": "c", "l": "1", "o": "0", "i": "l", "n": "ri", "s": "5", "t": "f", "m": "rn"}
_LONG_WORD = re.compile(r"\b[a-z]{8,}\b")
File = tuple[str, bytes]


def table(rows: int = 2000) -> list[File]:
    """Customers, orders and fees, a row each."""
    chance = random.Random(1)
    cities = ["London", "Warsaw", "Paris", "Denver", "Nairobi", "Newcastle", "Fresno", "Oxford"]
    lines = ["order,customer,city,article,quantity,price,return fee,date"]
    lines += [
        f"WES-{number},Customer {chance.randrange(900)},{chance.choice(cities)},garden hose {chance.randrange(40)} m,"
        f"{chance.randrange(1, 90)},{chance.randrange(100, 9000) / 100:.2f},{chance.randrange(2, 9)}.50,"
        f"2026-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}"
        for number in range(rows)
    ]
    return [("orders.csv", "\n".join(lines).encode())]


def log(lines: int = 3000) -> list[File]:
    """What a server writes."""
    chance = random.Random(2)
    levels, parts = ["INFO", "WARN", "ERROR", "DEBUG"], ["pump", "index", "http", "sluice", "power", "school"]
    text = [
        f"2026-03-{1 + number // 300:02} {number // 60 % 24:02}:{number % 60:02}:{chance.randrange(60):02} "
        f"{chance.choice(levels)} {chance.choice(parts)}[{chance.randrange(9999)}]: "
        f"request {chance.randrange(2**32):08x} took {chance.randrange(900)} ms status={chance.choice([200, 404, 500])}"
        for number in range(lines)
    ]
    return [("server.log", "\n".join(text).encode())]


def source_code(files: int = 40) -> list[File]:
    """This project's own source."""
    paths = sorted((ROOT / "services").rglob("*.py"), key=lambda path: -path.stat().st_size)[:files]
    return [(f"{path.parent.name} {path.name}.txt", path.read_bytes()) for path in paths]


def price_list(lines: int = 800) -> list[File]:
    """Articles with dots up to their prices."""
    chance = random.Random(3)
    things = [
        "football",
        "bridge",
        "oxygen bottle",
        "church candle",
        "steam engine model",
        "map of Asia",
        "school desk",
    ]
    text = [
        f"{chance.choice(things)} {chance.choice('ABCDEF')}{chance.randrange(999)} {'.' * 12} "
        f"EUR {chance.randrange(1, 900)}.{chance.randrange(100):02}"
        for _line in range(lines)
    ]
    return [("prices.txt", "\n".join(text).encode())]


def misread(texts: list[str], share: float = 0.3) -> list[File]:
    """Pages of prose as a bad scan gives them."""
    chance = random.Random(4)
    pages = [
        "".join(_MISREAD.get(letter, letter) if chance.random() < share else letter for letter in text)
        for text in texts
    ]
    return [("scan.txt", "\n\n".join(pages).encode())]


def duplicates(count: int = 400) -> list[File]:
    """A diary whose days hardly differ."""
    days = [
        f"On day {day} the keeper opened the sluice gate. The water stood at {day % 90} inches. He closed the gate "
        f"before the evening and wrote the level into the book. Nothing else happened on day {day}."
        for day in range(count)
    ]
    return [("diary.txt", "\n\n".join(days).encode())]


def unreadable(words: int = 6000) -> list[File]:
    """Keys in hex, one after another."""
    chance = random.Random(5)
    return [("keys.txt", " ".join(f"{chance.randrange(2**64):016x}" for _word in range(words)).encode())]


def with_typing_error(question: str, seed: int) -> str:
    """Return the question with two letters swapped or one left out in its longest word of eight letters or more."""
    chance = random.Random(seed)
    words = _LONG_WORD.findall(question)
    if not words:
        return question
    word = max(words, key=len)
    at = chance.randrange(2, len(word) - 2)
    wrong = (
        word[:at] + word[at + 1] + word[at] + word[at + 2 :] if chance.random() < 0.5 else word[:at] + word[at + 1 :]
    )
    return question.replace(word, wrong, 1)
