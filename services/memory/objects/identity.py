"""Whether the object at an address is still the one that was listed: another may have the address after its end.

What a list shows of an object comes with evidence: the run of the process, the number of a weak reference where its
type allows one, and digests of its text and of its name. A weak reference is certain. Without one (dictionaries, lists,
strings) an object of the same type counts as the same when its content or its name is; else it counts as another.
"""

from __future__ import annotations

import re
import threading
import weakref
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from services.core.errors import BadInputError, NotFoundError
from services.core.i18n import _
from services.memory.objects.heap import type_name
from services.memory.objects.names import CYCLE, NATIVE
from services.memory.objects.types import ObjectIdentity
from services.memory.tracked_objects import find_tracked

MOST_REFERENCES = 2000
_TOKEN = re.compile(r"([0-9a-f]{1,16})-([0-9a-f]{1,12})-([0-9a-f]{8})-([0-9a-f]{8})")
_NOWHERE = "00000000"  # the digest of a name that many objects have


@dataclass(frozen=True, slots=True)
class Evidence:
    """What identifies an object beside address and type; `reference` is 0 without a weak reference."""

    run: int
    reference: int
    text: str
    name: str

    @classmethod
    def parse(cls, token: str) -> Evidence | None:
        """Return what a token says, None for an empty one.

        Raises:
            BadInputError: it is none of ours.
        """
        if not token:
            return None
        found = _TOKEN.fullmatch(token)
        if found is None:
            raise BadInputError(_("This is no evidence of an object."), _("Send it as it was listed, or leave it out."))
        return cls(int(found[1], 16), int(found[2], 16), found[3], found[4])

    def __str__(self) -> str:
        return f"{self.run:x}-{self.reference:x}-{self.text}-{self.name}"


def digests(text: str, name: str) -> tuple[str, str]:
    """Return the digests of an object's text and name."""
    found = _NOWHERE if name.startswith((NATIVE, CYCLE)) else _digest(name)
    return _digest(text), found


def identify(evidence: Evidence | None, alive: bool | None, text: str, name: str) -> ObjectIdentity | None:
    """Return what is known of an object that now has this text and name, None: it is another one.

    `alive`: whether the weak reference finds an object, None without one.
    """
    if evidence is None:
        return ObjectIdentity.UNCHECKED
    new_text, new_name = digests(text, name)
    same_text, same_name = new_text == evidence.text, new_name == evidence.name != _NOWHERE
    if alive:
        return ObjectIdentity.SAME
    if alive is False or not (same_text or same_name):
        return None
    return ObjectIdentity.UNCHANGED if same_text else ObjectIdentity.CHANGED


def gone_error(kind: str, there: str) -> NotFoundError:
    """Return the error for an object of type `kind` that is gone; `there` is the type at its address now, if any."""
    if not there:
        text = _("This object is gone.")
    elif there == kind:
        text = _("This object is gone; at its address is now another {type}.").format(type=there)
    else:
        text = _("This object is gone; at its address is now an object of type {type}.").format(type=there)
    return NotFoundError(text, _("Reload the objects of its type."))


class SeenObjects:
    """Weak references to the objects that were listed last. Thread-safe; keeps none of them alive."""

    def __init__(self) -> None:
        self._references: OrderedDict[int, weakref.ref[object]] = OrderedDict()
        self._number = 0
        self._lock = threading.Lock()

    def refer(self, wanted: Mapping[int, str]) -> dict[int, int]:
        """Return numbers of weak references to the objects with these addresses and types, as far as they are found.

        Looks through all objects that the collector tracks: see `find_tracked`.
        """
        found: dict[int, int] = {}
        for value in find_tracked(wanted) if wanted else ():
            address = id(value)
            if type_name(type(value)) == wanted[address]:
                with suppress(TypeError):  # its type allows none
                    found[address] = self._add(weakref.ref(value))
        return found

    def is_alive(self, number: int, address: int) -> bool | None:
        """Return whether the object of a weak reference lives at the address; None for an unknown number."""
        with self._lock:
            reference = self._references.get(number)
        if reference is None:
            return None
        value = reference()
        return value is not None and id(value) == address

    def _add(self, reference: weakref.ref[object]) -> int:
        with self._lock:
            self._number += 1
            self._references[self._number] = reference
            while len(self._references) > MOST_REFERENCES:
                self._references.popitem(last=False)
            return self._number


def _digest(text: str) -> str:
    # Never the digest that stands for no name.
    return f"{zlib.crc32(text.encode('utf-8', 'surrogatepass')) or 1:08x}"
