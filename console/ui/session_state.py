"""Typed session state: what one browser tab remembers, and the keys of its widgets.

Each page has one dataclass; `state_of(cls)` returns the tab's own. Only small things live here: ids, choices, counters.
Documents, messages and answers are read from the services each time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, TypeVar

import streamlit as st

from services.core.errors import MillpondError
from services.knowledge.types import SearchResult
from services.memory.gc_experiment.types import Setting
from services.memory.leaks.types import Trimmed
from services.memory.objects.types import DeepSize, Instances, RetentionPaths, Summary

State = TypeVar("State")


class Query(StrEnum):
    """Parameters of the address bar, so that a link opens the same view."""

    CONVERSATION = "conversation"
    DOCUMENT = "document"
    OLDER_SNAPSHOT = "old"
    NEWER_SNAPSHOT = "new"
    RANGE = "range"
    TYPE = "type"  # objects page: what a suspect of the memory page leads to
    CONTAINER = "container"  # objects page
    SNAPSHOT = "snapshot"  # objects page
    SINCE = "since"  # objects page
    VIEW = "view"  # objects page
    OBJECT = "object"  # objects page: an address
    LINE = "line"  # allocations page


class Key(StrEnum):
    """Keys of widgets that more than one place, or a test, needs to name."""

    CHAT_INPUT = "chat-input"
    CHAT_STOP = "chat-stop"
    CONVERSATION_SEARCH = "conversation-search"
    CONVERSATION_NEW = "conversation-new"
    UPLOAD_COLLECTION = "upload-collection"
    DOCUMENT_SEARCH = "document-search"
    DOCUMENT_STATUS = "document-status"
    DOCUMENT_ORDER = "document-order"
    DOCUMENT_PAGE = "document-page"
    RETRIEVAL_QUERY = "retrieval-query"
    RETRIEVAL_RUN = "retrieval-run"
    RETRIEVAL_APPLY = "retrieval-apply"
    CONFIRM = "confirm"
    OBJECTS_LOOK = "objects-look"
    OBJECTS_SEARCH = "objects-search"
    OBJECTS_OURS = "objects-ours"
    OBJECTS_REPEAT = "objects-repeat"
    MEMORY_RANGE = "memory-range"
    MEMORY_PAUSE = "memory-pause"
    MEMORY_EVENTS = "memory-events"
    MEMORY_TRIM = "memory-trim"
    TRACING_FRAMES = "tracing-frames"
    TRACING_MINUTES = "tracing-minutes"
    TRACING_START = "tracing-start"
    TRACING_STOP = "tracing-stop"
    TRACING_TAKE = "tracing-take"
    TRACING_BY = "tracing-by"
    TRACING_OURS = "tracing-ours"
    TRACING_IMPORTS = "tracing-imports"
    TRACING_SEARCH = "tracing-search"
    COLLECTOR_VIEW = "collector-view"
    BUDGET_RANGE = "budget-range"
    BUDGET_DRY_RUN = "budget-dry-run"
    BUDGET_PAUSE = "budget-pause"
    BUDGET_UNDO = "budget-undo"
    BUDGET_RESTART = "budget-restart"
    BUDGET_WEBHOOK = "budget-webhook"
    COLLECTOR_TRY = "collector-try"
    COLLECTOR_KEEP = "collector-keep"
    COLLECTOR_MINUTES = "collector-minutes"
    COLLECTOR_DEFAULTS = "collector-defaults"
    TRIAL_KEEP = "trial-keep"
    TRIAL_BACK = "trial-back"
    ACCESS_TOKEN = "access-token"  # noqa: S105 - a widget's key
    ACCESS_GIVE = "access-give"
    ACCESS_LEAVE = "access-leave"


@dataclass
class Notice:
    """Something to tell on the next run: a toast when it went well, a message with a hint when not."""

    kind: Literal["done", "problem"]
    text: str
    hint: str = ""


@dataclass
class Notices:
    """What this tab still has to be told."""

    waiting: list[Notice] = field(default_factory=list)


@dataclass
class ChatState:
    """Chat page: where the visible messages end, and what is being edited.

    `before` is the id of the message that the shown window ends before; None shows the newest. `draft` collections and
    window belong to a conversation that has no row yet.
    """

    before: int | None = None
    editing: int | None = None
    conversation: str = ""
    draft_collections: tuple[int, ...] = ()
    draft_turns: int | None = None


@dataclass
class DocumentsState:
    """Documents page: `uploads` counts emptied uploaders, `shown` are the ids of the table's rows, `selected` those
    that are ticked."""

    uploads: int = 0
    collection: int | None = None
    shown: tuple[int, ...] = ()
    selected: frozenset[int] = frozenset()
    tables: int = 0


@dataclass
class AllocationsState:
    """Allocations page: `shown` is what of tracing and its snapshots the page was drawn with."""

    shown: tuple[object, ...] = ()


@dataclass
class GCForm:
    """Garbage collection page: `known` are the settings that the form was filled with, `fills` counts how often: when
    others are in force the fields are filled anew."""

    known: object = None
    fills: int = 0


@dataclass
class ModelState:
    """Choice of the chat model: `saved` counts, so that a key that was typed does not stay in its field."""

    saved: int = 0


@dataclass
class ObjectsState:
    """Objects page: what the last looks found, as names and numbers; `asked` is what `instances` answer."""

    instances: Instances | None = None
    asked: tuple[str, str] = ("", "")
    holders: RetentionPaths | None = None
    size: DeepSize | None = None
    summary: Summary | None = None


@dataclass
class RetrievalState:
    """Retrieval test page: the last result, None when nothing was run yet."""

    result: SearchResult | None = None


@dataclass
class MemoryState:
    """Memory page: what the last trim gave back."""

    trimmed: Trimmed | None = None


@dataclass
class ExperimentForm:
    """Threshold experiment: `own` settings that were added to those offered, `chosen` what was chosen then; `shown` is
    what of the experiments the results were drawn with."""

    own: tuple[Setting, ...] = ()
    chosen: tuple[Setting, ...] = ()
    shown: tuple[object, ...] = ()


def state_of(kind: type[State]) -> State:
    """Return this tab's `kind`, a dataclass with defaults."""
    name = f"millpond.{kind.__name__}"
    if name not in st.session_state:
        st.session_state[name] = kind()
    found = st.session_state[name]
    assert isinstance(found, kind)  # noqa: S101 - tells the type checker what the line above guarantees
    return found


def notify(text: str) -> None:
    """Show `text` as a toast on the next run."""
    state_of(Notices).waiting.append(Notice("done", text))


def notify_problem(error: MillpondError) -> None:
    """Show an error with its hint on the next run."""
    state_of(Notices).waiting.append(Notice("problem", error.message, error.hint))


def query(name: Query) -> str:
    """Return a parameter of the address bar, "" when it is not there."""
    return st.query_params.get(name, "")


def query_number(name: Query) -> int | None:
    """Return a parameter as a number, None when it is not one."""
    text = query(name)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def set_query(name: Query, value: str | int | None) -> None:
    """Put a parameter into the address bar, or take it out."""
    if value is None or value == "":
        st.query_params.pop(name, None)
    else:
        st.query_params[name] = str(value)
