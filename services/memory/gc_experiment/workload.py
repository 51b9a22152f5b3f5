"""Which settings can be tried, what they are called, and in which order they take their turns.

The built-in workload, for a service of which too little was recorded.
"""

from __future__ import annotations

import gc
import random
from collections import Counter
from collections.abc import Sequence

from services.core.errors import BadInputError
from services.core.i18n import _
from services.memory.gc_experiment.types import Operation, OperationKind, Setting

MAX_SETTINGS = 8
MIN_ROUNDS, MAX_ROUNDS = 1, 20
MIN_OPERATIONS, MAX_OPERATIONS = 10, 2000
# The first threshold is a C int; the others are compared with counts that never come near.
MAX_THRESHOLD = 2**31 - 1
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
PRESELECTED: tuple[Setting, ...] = (REFERENCE, Setting((300, 5, 5)), Setting((10_000, 20, 50)), FROZEN)
# As this interpreter came up: somebody may change them while the service runs.
DEFAULTS: tuple[int, int, int] = gc.get_threshold()
# Of 100 operations, as a small team's day looks: each click is a run of a page; some questions, a file now and then.
SHARES: dict[OperationKind, int] = {
    OperationKind.PAGE: 78,
    OperationKind.QUESTION: 14,
    OperationKind.ANSWER: 3,
    OperationKind.UPLOAD: 3,
    OperationKind.DELETE: 2,
}
# With fewer than so many recorded operations the recording says little about the service.
MIN_RECORDED = 60
MAX_UPLOAD_BYTES = 32 * 1024
_QUESTION_CHARACTERS = (20, 120)
_UPLOAD_BYTES = (500, 4000)


def label(setting: Setting) -> str:
    """Return what a setting is called."""
    if setting.control:
        return _("Defaults again (control)")
    if not setting.automatic:
        return _("Collector off")
    name = _("Defaults") if setting.thresholds is None else "({}, {}, {})".format(*setting.thresholds)
    return _("{name}, frozen after the start").format(name=name) if setting.frozen else name


def validate_experiment(settings: Sequence[Setting], rounds: int, operations: int) -> tuple[Setting, ...]:
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
        (_("settings"), len(wanted), 2, MAX_SETTINGS),
        (_("rounds"), rounds, MIN_ROUNDS, MAX_ROUNDS),
        (_("operations"), operations, MIN_OPERATIONS, MAX_OPERATIONS),
    ):
        if not least <= value <= most:
            raise BadInputError(
                _("{value} {what} are not possible.").format(value=value, what=what),
                _("Choose between {least} and {most}.").format(least=least, most=most),
            )
    for setting in wanted:
        for threshold in setting.thresholds or ():
            if not 1 <= threshold <= MAX_THRESHOLD:
                raise BadInputError(
                    _("{value} is no threshold.").format(value=threshold),
                    _("Choose between {least} and {most}.").format(least=1, most=MAX_THRESHOLD),
                )
    return wanted


def setting_order(settings: int, round_: int) -> list[int]:
    """Return in which order the settings take their turns in a round.

    Every second round goes backwards, and each pair of rounds begins with another one: no setting always comes first,
    and none always comes after the same other one, so that drift of the machine favours none.
    """
    turn = [(round_ // 2 + place) % settings for place in range(settings)]
    return turn[::-1] if round_ % 2 else turn


def built_in_operations(count: int, seed: int) -> tuple[Operation, ...]:
    """Return `count` operations in an order that depends on `seed` alone."""
    chance = random.Random(seed)  # noqa: S311 - must be the same each time
    kinds = [kind for kind, share in SHARES.items() for _number in range(share)]
    return tuple((kind, random_size(kind, chance)) for kind in chance.choices(kinds, k=count))


def repeat_operations(recorded: Sequence[Operation], count: int) -> tuple[Operation, ...]:
    """Return `count` operations: what was recorded, in its order, again and again if need be."""
    return tuple(recorded[number % len(recorded)] for number in range(count)) if recorded else ()


def random_size(kind: OperationKind, chance: random.Random) -> int:
    """Return a usual size: characters of a question, bytes of a file."""
    if kind in {OperationKind.QUESTION, OperationKind.ANSWER}:
        return chance.randint(*_QUESTION_CHARACTERS)
    return chance.randint(*_UPLOAD_BYTES) if kind is OperationKind.UPLOAD else 0


def count_operations(operations: Sequence[Operation]) -> dict[str, int]:
    """Return how many of each kind there are."""
    found = Counter(kind.value for kind, _size in operations)
    return {kind.value: found[kind.value] for kind in OperationKind if found[kind.value]}
