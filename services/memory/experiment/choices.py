"""Which settings can be tried, what they are called, and in which order they take their turns."""

from __future__ import annotations

import gc
from collections.abc import Sequence

from services.errors import BadInputError
from services.memory.experiment.types import Setting
from services.texts import _

MOST_SETTINGS = 8
LEAST_ROUNDS, MOST_ROUNDS = 1, 20
LEAST_OPERATIONS, MOST_OPERATIONS = 10, 2000
# The first threshold is a C int; the others are compared with counts that never come near.
MOST_THRESHOLD = 2**31 - 1

REFERENCE = Setting()
CONTROL = Setting(control=True)
OFF = Setting(automatic=False)
FROZEN = Setting(frozen=True)
OFFERED: tuple[Setting, ...] = (
    REFERENCE,
    CONTROL,
    Setting((700, 10, 10)),
    Setting((300, 5, 5)),
    Setting((2000, 10, 10)),
    Setting((10_000, 20, 50)),
    OFF,
    FROZEN,
)
USUAL: tuple[Setting, ...] = (REFERENCE, Setting((300, 5, 5)), Setting((10_000, 20, 50)), FROZEN)

# As this interpreter came up: somebody may change them while the service runs.
DEFAULTS: tuple[int, int, int] = gc.get_threshold()


def label(setting: Setting) -> str:
    """Return what a setting is called."""
    if setting.control:
        return _("Defaults again (control)")
    if not setting.automatic:
        return _("Collector off")
    name = _("Defaults") if setting.thresholds is None else "({}, {}, {})".format(*setting.thresholds)
    return _("{name}, frozen after the start").format(name=name) if setting.frozen else name


def checked(settings: Sequence[Setting], rounds: int, operations: int) -> tuple[Setting, ...]:
    """Return what is compared: the defaults first, nothing twice.

    Raises:
        BadInputError: there is nothing to compare, too much of it, or thresholds that Python does not take.
    """
    wanted = tuple(dict.fromkeys((REFERENCE, *settings)))
    if len(wanted) < 2:
        raise BadInputError(
            _("There is nothing to compare the defaults with."), _("Choose at least one other setting.")
        )
    for what, value, least, most in (
        (_("settings"), len(wanted), 2, MOST_SETTINGS),
        (_("rounds"), rounds, LEAST_ROUNDS, MOST_ROUNDS),
        (_("operations"), operations, LEAST_OPERATIONS, MOST_OPERATIONS),
    ):
        if not least <= value <= most:
            raise BadInputError(
                _("{value} {what} are not possible.").format(value=value, what=what),
                _("Choose between {least} and {most}.").format(least=least, most=most),
            )
    for setting in wanted:
        for threshold in setting.thresholds or ():
            if not 1 <= threshold <= MOST_THRESHOLD:
                raise BadInputError(
                    _("{value} is no threshold.").format(value=threshold),
                    _("Choose between {least} and {most}.").format(least=1, most=MOST_THRESHOLD),
                )
    return wanted


def order(settings: int, round_: int) -> list[int]:
    """Return in which order the settings take their turns in a round.

    Every second round goes backwards, and each pair of rounds begins with another one: no setting always comes first,
    and none always comes after the same other one, so that drift of the machine favours none.
    """
    turn = [(round_ // 2 + place) % settings for place in range(settings)]
    return turn[::-1] if round_ % 2 else turn
