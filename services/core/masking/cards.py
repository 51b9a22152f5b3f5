"""Numbers of bank cards: length and first digits by ISO/IEC 7812, and Luhn's check digit."""

from __future__ import annotations

# First digits (from, to) with the lengths that are issued; published by the card schemes.
_SCHEMES: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("4", "4", (13, 16, 19)),  # Visa
    ("51", "55", (16,)),  # Mastercard
    ("2221", "2720", (16,)),
    ("34", "34", (15,)),  # American Express
    ("37", "37", (15,)),
    ("62", "62", (16, 17, 18, 19)),  # UnionPay
    ("81", "81", (16, 17, 18, 19)),
    ("9558", "9559", (16, 19)),  # ICBC and others, before UnionPay
    ("103", "103", (19,)),
    ("6011", "6011", (16, 19)),  # Discover
    ("644", "659", (16, 19)),
    ("3528", "3589", (16, 19)),  # JCB
    ("300", "305", (14, 16, 19)),  # Diners Club
    ("3095", "3095", (14, 16)),
    ("36", "36", (14, 16, 19)),
    ("38", "39", (14, 16, 19)),
    ("2200", "2204", (16, 19)),  # Mir
    ("5018", "5018", (16, 18, 19)),  # Maestro
    ("5020", "5020", (16, 18, 19)),
    ("5038", "5038", (16, 18, 19)),
    ("5893", "5893", (16, 18, 19)),
    ("6304", "6304", (16, 18, 19)),
    ("6759", "6763", (16, 18, 19)),
    ("60", "60", (16,)),  # RuPay, Verve, others
    ("5060", "5061", (16, 19)),
    ("508", "508", (16,)),
    ("9792", "9792", (16,)),  # Troy
)  # fmt: skip


def _lengths_by_prefix() -> dict[str, frozenset[int]]:
    """Return the lengths of numbers by each first digits of the table."""
    found: dict[str, frozenset[int]] = {}
    for low, high, lengths in _SCHEMES:
        for prefix in range(int(low), int(high) + 1):
            found[str(prefix)] = found.get(str(prefix), frozenset()) | frozenset(lengths)
    return found


_LENGTHS = _lengths_by_prefix()


def is_card(number: str) -> bool:
    """Return whether digits can be a card's number: its scheme, its length, its check digit."""
    size = len(number)
    if not any(size in _LENGTHS.get(number[:digits], ()) for digits in (1, 2, 3, 4)) or len(set(number)) == 1:
        return False
    from stdnum import luhn

    return bool(luhn.is_valid(number))
