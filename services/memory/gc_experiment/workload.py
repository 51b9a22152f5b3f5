"""The settings that can be tried, their order, and the operations of a run, built in where too few were recorded."""

from __future__ import annotations

import gc
import random
from collections import Counter
from collections.abc import Sequence

from services.core.errors import BadInputError
from services.core.i18n import _, plural
from services.memory.gc_experiment.types import Operation, OperationKind, Setting

MAX_SETTINGS = 8
MIN_ROUNDS, MAX_ROUNDS = 3, 20  # with fewer the intervals of a comparison mean nothing
MIN_OPERATIONS, MAX_OPERATIONS = 10, 2000
# The first threshold is a C int; the others are compared with counts far below.
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
# Read at import, since they may be changed while the service runs.
DEFAULTS: tuple[int, int, int] = gc.get_threshold()
# Of 100 operations on a small team's day: each click runs a page; some questions, a file now and then.
SHARES: dict[OperationKind, int] = {
    OperationKind.PAGE: 78,
    OperationKind.QUESTION: 14,
    OperationKind.ANSWER: 3,
    OperationKind.UPLOAD: 3,
    OperationKind.DELETE: 2,
}
# Fewer recorded operations are not representative of the service.
MIN_RECORDED = 60
MAX_UPLOAD_BYTES = 32 * 1024
_QUESTION_CHARACTERS = (20, 120)
_UPLOAD_BYTES = (500, 4000)


def label(setting: Setting) -> str:
    """Return the name of a setting."""
    if setting.control:
        return _("Defaults again (control)")
    if not setting.automatic:
        return _("Collector off")
    name = _("Defaults") if setting.thresholds is None else "({}, {}, {})".format(*setting.thresholds)
    return _("{name}, frozen after the start").format(name=name) if setting.frozen else name


def validate_experiment(settings: Sequence[Setting], rounds: int, operations: int) -> tuple[Setting, ...]:
    """Return the settings to compare: the defaults first, without duplicates.

    Raises:
        BadInputError: there is nothing to compare, too much, too few rounds, or a threshold is out of range.
    """
    wanted = tuple(dict.fromkeys((REFERENCE, *settings)))
    if len(wanted) < 2:
        raise BadInputError(
            _("There is nothing to compare the defaults with."), _("Choose at least one other setting.")
        )
    if reason := too_few_rounds(rounds):
        raise BadInputError(reason, _("Choose at least {least} rounds. Nothing was started.").format(least=MIN_ROUNDS))
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
                    _("{value} is not a valid threshold.").format(value=threshold),
                    _("Choose between {least} and {most}.").format(least=1, most=MAX_THRESHOLD),
                )
    return wanted


def too_few_rounds(rounds: int) -> str:
    """Return why so many rounds are too few, "" if they are enough."""
    if rounds >= MIN_ROUNDS:
        return ""
    return plural(
        "{count} round is too few: a difference could not be told from chance.",
        "{count} rounds are too few: a difference could not be told from chance.",
        rounds,
    )


def setting_order(settings: int, round_: int) -> list[int]:
    """Return the order in which the settings run in a round.

    Every second round is reversed, and each pair of rounds starts with another setting: none always runs first, and
    none always runs after the same other one, so that drift of the machine favours none.
    """
    places = [(round_ // 2 + place) % settings for place in range(settings)]
    return places[::-1] if round_ % 2 else places


def built_in_operations(count: int, seed: int) -> tuple[Operation, ...]:
    """Return `count` operations in an order that depends on `seed` alone."""
    chance = random.Random(seed)  # noqa: S311 - must be the same each time
    kinds = [kind for kind, share in SHARES.items() for _number in range(share)]
    return tuple((kind, random_size(kind, chance)) for kind in chance.choices(kinds, k=count))


def repeat_operations(recorded: Sequence[Operation], count: int) -> tuple[Operation, ...]:
    """Return `count` operations: the recorded ones in order, repeated as needed."""
    return tuple(recorded[number % len(recorded)] for number in range(count)) if recorded else ()


def random_size(kind: OperationKind, chance: random.Random) -> int:
    """Return a typical size: characters of a question, bytes of a file."""
    if kind in {OperationKind.QUESTION, OperationKind.ANSWER}:
        return chance.randint(*_QUESTION_CHARACTERS)
    return chance.randint(*_UPLOAD_BYTES) if kind is OperationKind.UPLOAD else 0


def count_operations(operations: Sequence[Operation]) -> dict[str, int]:
    """Return the number of operations by kind."""
    found = Counter(kind.value for kind, _size in operations)
    return {kind.value: found[kind.value] for kind in OperationKind if found[kind.value]}
