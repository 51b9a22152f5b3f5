"""Numbers, sizes, durations and moments as verdicts write them."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

from services.core.i18n import _
from services.core.machine import MEGABYTE


def size_text(amount: float) -> str:
    """Return bytes in MB, from 10,000 MB in GB."""
    if amount >= 10_000 * MEGABYTE:
        return _("{amount} GB").format(amount=f"{amount / MEGABYTE / 1024:.1f}")
    return _("{amount} MB").format(amount=f"{amount / MEGABYTE:.0f}")


def change_text(amount: float) -> str:
    """Return a change of so many bytes in MB, with its sign."""
    return _("{amount} MB").format(amount=number_text(amount / MEGABYTE, signed=True))


def duration_text(seconds: float) -> str:
    """Return a duration in the largest unit that gives at least two."""
    if seconds < 120:
        return _("{count} s").format(count=f"{seconds:.0f}")
    if seconds < 7200:
        return _("{count} min").format(count=f"{seconds / 60:.0f}")
    if seconds < 172_800:
        return _("{count} h").format(count=f"{seconds / 3600:.0f}")
    return _("{count} days").format(count=f"{seconds / 86400:.0f}")


def number_text(value: float, *, signed: bool = False) -> str:
    """Return a number with one decimal below 10 and a real minus sign."""
    text = f"{abs(value):,.1f}" if abs(value) < 9.95 else f"{abs(value):,.0f}"
    if not float(text.replace(",", "")):
        return text
    return ("−" if value < 0 else "+" if signed else "") + text


def moment_text(time: float, now: float, zone: tzinfo = UTC) -> str:
    """Return a moment as hours and minutes in a time zone, with the date where that is not the one of `now`.

    UTC is named: whoever reads it may live by another time.
    """
    moment, today = datetime.fromtimestamp(time, zone), datetime.fromtimestamp(now, zone)
    text = moment.strftime("%H:%M" if moment.date() == today.date() else "%Y-%m-%d %H:%M")
    return f"{text} UTC" if zone is UTC else text
