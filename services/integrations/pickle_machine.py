"""Reads a pickle as data: the instructions that build plain values are interpreted, all others refused.

A pickle is a program for a stack machine; `pickle.load` runs it, calls included. Here no class is looked up, nothing is
imported, nothing is called. The instructions are decoded by `pickletools.genops`
(https://docs.python.org/3/library/pickletools.html), which executes nothing either.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pickletools import genops
from typing import Any, cast

from services.core.i18n import _
from services.core.machine import MEGABYTE

# What the values of a file may take in RAM: so many times its size, and at most so much.
_EXPANSION, _LEAST_BYTES, _MOST_BYTES = 16, 16 * MEGABYTE, 2048 * MEGABYTE
_LARGEST_KEY = 2**31  # positions in an index; larger ones could be chosen to collide in a dictionary
# Approximate bytes of a value without its contents, of a container, and of a reference in the memo, in CPython.
_VALUE_BYTES, _CONTAINER_BYTES, _MEMO_BYTES = 56, 240, 100


class ClassKind(Enum):
    """The classes that a document store consists of."""

    DOCSTORE = "docstore"
    DOCUMENT = "document"


# By all the names that they have had.
_CLASSES = {
    ("langchain_community.docstore.in_memory", "InMemoryDocstore"): ClassKind.DOCSTORE,
    ("langchain.docstore.in_memory", "InMemoryDocstore"): ClassKind.DOCSTORE,
    ("langchain_core.documents.base", "Document"): ClassKind.DOCUMENT,
    ("langchain_core.documents", "Document"): ClassKind.DOCUMENT,
    ("langchain.schema.document", "Document"): ClassKind.DOCUMENT,
    ("langchain.schema", "Document"): ClassKind.DOCUMENT,
    ("langchain.docstore.document", "Document"): ClassKind.DOCUMENT,
}


@dataclass(slots=True)
class InertObject:
    """Stands for an instance of a known class: its kind and the state that was written for it."""

    kind: ClassKind
    state: dict[Any, Any] | None = None


class _Mark:
    """Where a group of values begins on the stack."""


_MARK = _Mark()


class PickleRefusedError(Exception):
    """Says what was found that is no plain data."""


class PickleMachine:
    """Interprets the instructions that build values; `size` is the file's, in bytes."""

    def __init__(self, size: int) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._left = min(_LEAST_BYTES + _EXPANSION * size, _MOST_BYTES)

    def run(self, data: mmap.mmap) -> object:
        """Return the value that the instructions build."""
        try:
            for opcode, argument, _position in genops(cast("Any", data)):
                if opcode.name == "STOP":
                    return self._result()
                self._step(opcode.name, argument)
        except (ValueError, OverflowError) as error:  # also what the decoder says of bytes that are no pickle
            raise PickleRefusedError(_("it is damaged or cut off")) from error
        raise PickleRefusedError(_("it is damaged or cut off"))

    def _result(self) -> object:
        if len(self._stack) != 1:
            raise PickleRefusedError(_("it is damaged or cut off"))
        return self._stack[0]

    def _step(self, name: str, argument: Any) -> None:
        if name in _VALUES:
            self._push(argument, _VALUE_BYTES + (4 * len(argument) if isinstance(argument, str | bytes) else 0))
        elif name in _CONSTANTS:
            self._push(_CONSTANTS[name], 8)
        elif name in _EMPTY:
            self._push(_EMPTY[name](), _CONTAINER_BYTES)
        elif name in _PUTS:
            self._charge(_MEMO_BYTES)
            self._memo[len(self._memo) if argument is None else argument] = self._top()
        elif name in _GETS:
            if argument not in self._memo:
                raise PickleRefusedError(_("it is damaged or cut off"))
            self._push(self._memo[argument], 8)
        elif name in _ACTIONS:
            _ACTIONS[name](self, argument)
        elif name not in {"PROTO", "FRAME"}:
            raise PickleRefusedError(_("it contains the instruction {name}").format(name=name))

    # The stack

    def _charge(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise PickleRefusedError(_("its values would take too much memory"))

    def _push(self, value: object, count: int) -> None:
        self._charge(count)
        self._stack.append(value)

    def _pop(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise PickleRefusedError(_("it is damaged or cut off"))
        return self._stack.pop()

    def _top(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise PickleRefusedError(_("it is damaged or cut off"))
        return self._stack[-1]

    def _pop_group(self) -> list[Any]:
        """Take the values above the last mark, and the mark."""
        group: list[Any] = []
        while self._stack:
            value = self._stack.pop()
            if value is _MARK:
                group.reverse()
                return group
            group.append(value)
        raise PickleRefusedError(_("it is damaged or cut off"))

    # The instructions

    def mark(self, _argument: object) -> None:
        self._push(_MARK, 8)

    def pop(self, _argument: object) -> None:
        self._pop()

    def append(self, _argument: object) -> None:
        item = self._pop()
        self._extend([item])

    def appends(self, _argument: object) -> None:
        self._extend(self._pop_group())

    def _extend(self, items: list[Any]) -> None:
        target = self._top()
        if not isinstance(target, list):
            raise PickleRefusedError(_("it appends to what is not a list"))
        self._charge(8 * len(items))
        target.extend(items)

    def add_items(self, _argument: object) -> None:
        items, target = self._pop_group(), self._top()
        if not isinstance(target, set):
            raise PickleRefusedError(_("it adds to what is not a set"))
        target.update(self._key(item) for item in items)

    def set_item(self, _argument: object) -> None:
        value, key = self._pop(), self._pop()
        self._update([key, value])

    def set_items(self, _argument: object) -> None:
        self._update(self._pop_group())

    def _update(self, items: list[Any]) -> None:
        target = self._top()
        if not isinstance(target, dict) or len(items) % 2:
            raise PickleRefusedError(_("it sets items of what is not a dictionary"))
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[self._key(key)] = value

    def _key(self, key: object) -> str | int:
        self._charge(_MEMO_BYTES)
        if isinstance(key, str) or (isinstance(key, int) and abs(key) < _LARGEST_KEY):
            return key
        raise PickleRefusedError(_("a key is neither a text nor a small number"))

    def list_of_group(self, _argument: object) -> None:
        self._push(self._pop_group(), _CONTAINER_BYTES)

    def dict_of_group(self, _argument: object) -> None:
        items = self._pop_group()
        self._push({}, _CONTAINER_BYTES)
        self._update(items)

    def tuple_of_group(self, _argument: object) -> None:
        self._push(tuple(self._pop_group()), _VALUE_BYTES)

    def tuple_of(self, count: int) -> None:
        items = [self._pop() for _item in range(count)]
        self._push(tuple(reversed(items)), _VALUE_BYTES)

    def named_class(self, argument: str) -> None:
        module, _space, name = argument.partition(" ")
        self._class(module, name)

    def stacked_class(self, _argument: object) -> None:
        name, module = self._pop(), self._pop()
        self._class(module, name)

    def _class(self, module: object, name: object) -> None:
        kind = _CLASSES.get((module, name)) if isinstance(module, str) and isinstance(name, str) else None
        if kind is None:
            raise PickleRefusedError(_("it asks for {name}").format(name=_printable(f"{module}.{name}")))
        self._push(kind, 8)

    def new_object(self, _argument: object) -> None:
        arguments, kind = self._pop(), self._pop()
        if not isinstance(kind, ClassKind) or arguments != ():
            raise PickleRefusedError(_("it makes an object of a class that is not known here"))
        self._push(InertObject(kind), _CONTAINER_BYTES)

    def set_state(self, _argument: object) -> None:
        state, target = self._pop(), self._top()
        if not isinstance(target, InertObject) or not isinstance(state, dict) or target.state is not None:
            raise PickleRefusedError(_("it sets the state of something that is not a document"))
        target.state = state


# Strings of protocol 0 to 2 (STRING, BINSTRING) are bytes of Python 2; LangChain never ran there.
_VALUES = frozenset({
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8",
})  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_EMPTY: Mapping[str, Callable[[], object]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}
_PUTS = frozenset({"MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"})
_GETS = frozenset({"GET", "BINGET", "LONG_BINGET"})
_ACTIONS: Mapping[str, Callable[[PickleMachine, Any], None]] = {
    "MARK": PickleMachine.mark,
    "POP": PickleMachine.pop,
    "APPEND": PickleMachine.append,
    "APPENDS": PickleMachine.appends,
    "ADDITEMS": PickleMachine.add_items,
    "SETITEM": PickleMachine.set_item,
    "SETITEMS": PickleMachine.set_items,
    "LIST": PickleMachine.list_of_group,
    "DICT": PickleMachine.dict_of_group,
    "TUPLE": PickleMachine.tuple_of_group,
    "TUPLE1": lambda machine, _argument: machine.tuple_of(1),
    "TUPLE2": lambda machine, _argument: machine.tuple_of(2),
    "TUPLE3": lambda machine, _argument: machine.tuple_of(3),
    "GLOBAL": PickleMachine.named_class,
    "STACK_GLOBAL": PickleMachine.stacked_class,
    "NEWOBJ": PickleMachine.new_object,
    "BUILD": PickleMachine.set_state,
}


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name[:120])
