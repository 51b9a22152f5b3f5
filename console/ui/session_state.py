"""Typed session state of one browser tab, keys of widgets, parameters of the address bar.

Each page has one dataclass; `state_of(cls)` returns the tab's own. It holds ids, choices and counters only: documents,
messages and answers are read from the services on each run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, TypeVar

import streamlit as st

from services.core.errors import MillpondError
from services.knowledge.types import SearchResult
from services.memory.gc_experiment.types import Setting
from services.memory.leaks.types import Trimmed
from services.memory.objects.types import DeepSize, HeapSummary, Instances, RetentionPaths

State = TypeVar("State")


class Query(StrEnum):
    """Parameters of the address bar: a link opens the same view."""

    CONVERSATION = "conversation"
    SOURCE = "source"  # chat page: an answer's id and the number of a citation
    DOCUMENT = "document"
    COLLECTION = "collection"  # documents page: a collection's id
    FIND = "find"  # documents page: part of a name
    STATUS = "status"  # documents page
    ORDER = "order"  # documents page
    PAGE = "page"  # documents page: of the table
    OLDER_SNAPSHOT = "old"
    NEWER_SNAPSHOT = "new"
    RANGE = "range"
    EVENT = "event"  # memory page: an event's id; steps of the verdict link to it
    MOMENT = "moment"  # memory page: seconds since the epoch
    NODE = "node"  # memory page: the name of another node
    TYPE = "type"  # objects page; suspects on the memory page link to it
    CONTAINER = "container"  # objects page
    SNAPSHOT = "snapshot"  # objects page
    SINCE = "since"  # objects page
    VIEW = "view"  # objects page, people page
    OBJECT = "object"  # objects page: an address
    EVIDENCE = "evidence"  # objects page: which object it was that had the address
    LINE = "line"  # allocations page
    WHO = "who"  # audit page
    ACTION = "action"  # audit page
    TARGET = "on"  # audit page
    OUTCOME = "outcome"  # audit page
    FROM = "from"  # audit page: a day
    TO = "to"  # audit page: a day
    BEFORE = "before"  # audit page: a record's number
    PERSON = "person"  # people page: an account's id
    GROUP = "group"  # people page: a group's id


class Key(StrEnum):
    """Keys of widgets that several places, or a test, refer to."""

    CHAT_INPUT = "chat-input"
    CHAT_STOP = "chat-stop"
    CONVERSATION_SEARCH = "conversation-search"
    CONVERSATION_NEW = "conversation-new"
    UPLOAD_COLLECTION = "upload-collection"
    UPLOAD_FOLDER = "upload-folder"
    DOCUMENT_SEARCH = "document-search"
    DOCUMENT_STATUS = "document-status"
    DOCUMENT_ORDER = "document-order"
    DOCUMENT_PAGE = "document-page"
    MOVE_MENU = "bulk-move"
    MOVE_UNDO = "bulk-undo"
    RETRIEVAL_QUERY = "retrieval-query"
    RETRIEVAL_RUN = "retrieval-run"
    RETRIEVAL_APPLY = "retrieval-apply"
    CONFIRM = "confirm"
    OBJECTS_SNAPSHOT = "objects-look"
    OBJECTS_SEARCH = "objects-search"
    OBJECTS_OURS = "objects-ours"
    OBJECTS_WATCHING = "objects-watching"
    OBJECTS_REPEAT = "objects-repeat"
    MEMORY_NODE = "memory-node"
    MEMORY_RANGE = "memory-range"
    MEMORY_PAUSE = "memory-pause"
    MEMORY_EVENTS = "memory-events"
    MEMORY_TRIM = "memory-trim"
    TRACING_FRAMES = "tracing-frames"
    TRACING_MINUTES = "tracing-minutes"
    TRACING_START = "tracing-start"
    TRACING_STOP = "tracing-stop"
    TRACING_SNAPSHOT = "tracing-take"
    TRACING_BY = "tracing-by"
    TRACING_OURS = "tracing-ours"
    TRACING_IMPORTS = "tracing-imports"
    TRACING_WATCHING = "tracing-watching"
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

    TRIAL_KEEP = "trial-keep"
    TRIAL_BACK = "trial-back"
    AUDIT_WHO = "audit-who"
    AUDIT_ACTION = "audit-action"
    AUDIT_TARGET = "audit-target"
    AUDIT_OUTCOME = "audit-outcome"
    AUDIT_FROM = "audit-from"
    AUDIT_TO = "audit-to"
    AUDIT_NEWEST = "audit-newest"
    AUDIT_OLDER = "audit-older"
    AUDIT_VERIFY = "audit-verify"
    ACCESS_TOKEN = "access-token"  # noqa: S105 - a widget's key
    ACCESS_ENTER = "access-give"
    ACCESS_LEAVE = "access-leave"
    SIGN_OUT = "sign-out"
    SHORTCUTS = "shortcuts-open"
    LANGUAGE = "language"
    PEOPLE_VIEW = "people-view"
    PEOPLE_SEARCH = "people-search"
    PEOPLE_PAGE = "people-page"
    PERSON_ADD = "person-add"
    PERSON_ROLE = "person-role"
    GROUP_ADD = "group-add"
    GROUP_MEMBERS = "group-members"
    GRANTS_COLLECTION = "grants-collection"
    SHARE = "share"
    SHARE_KIND = "share-kind"
    SHARE_LEVEL = "share-level"
    ACCOUNT_SIGN_OUT = "account-sign-out"
    SECOND_FACTOR = "second-factor"
    TOKEN_ADD = "token-add"  # noqa: S105 - a widget's key


@dataclass
class Notice:
    """A message for the next run: a toast for a success, an error with a hint for a problem."""

    kind: Literal["done", "problem"]
    text: str
    hint: str = ""


@dataclass
class Notices:
    """The messages that this tab has not shown yet."""

    waiting: list[Notice] = field(default_factory=list)


@dataclass
class OpenPage:
    """The page that this tab shows, by the path of its address, and whether another one was shown before this run."""

    path: str | None = None
    entered: bool = True


@dataclass
class ChatState:
    """Chat page: the visible window of messages, and the question being edited.

    `conversation` is the one that was shown last, "" for a new one; `source` the one open beside it, as the address has
    it. `before` is the id of the message that the window ends before; None shows the newest. The `draft` fields belong
    to a conversation that is not stored yet.
    """

    before: int | None = None
    editing: int | None = None
    conversation: str = ""
    source: str = ""
    draft_collections: tuple[int, ...] = ()
    draft_turns: int | None = None


@dataclass
class SourceState:
    """Chat page: of the open source, by answer and document, how many passages are shown around what is cited."""

    of: tuple[int, int] = (0, 0)
    before: int = 0
    after: int = 0


@dataclass(frozen=True)
class Move:
    """Documents that were moved to the collection `target`, as `text` says.

    `documents` and `attachments`, which came along, have the collection that each was in, by id. `until`, by the
    monotonic clock, its undoing is offered.
    """

    target: int
    documents: Mapping[int, int]
    attachments: Mapping[int, int]
    text: str
    until: float


@dataclass
class DocumentsState:
    """Documents page: `uploads`, `tables` and `pagers` number the widgets of their kind, `shown` are the ids of the
    table's rows, `selected` those of the selected ones, `moved` is the last move. What is ticked in the table number
    `cleared` and those before it does not count any more."""

    uploads: int = 0
    pagers: int = 0
    moved: Move | None = None
    collection: int | None = None
    shown: tuple[int, ...] = ()
    selected: frozenset[int] = frozenset()
    tables: int = 0
    cleared: int = -1


@dataclass
class AllocationsState:
    """Allocations page: `shown` is the state of tracing and snapshots that the page was drawn with."""

    shown: tuple[object, ...] = ()


@dataclass
class GCForm:
    """Garbage collection page: the settings that the form shows, and how often it was filled: it is filled again when
    other settings come into force. `outcomes` has the time of the effect of what was last done in this tab, by the
    place of its buttons."""

    known: object = None
    fills: int = 0
    outcomes: dict[str, float] = field(default_factory=dict)


@dataclass
class ModelState:
    """Choice of the chat model: the number of saves, so that a typed key does not stay in its field; the names that a
    server listed, what it was asked by, and when (`time.monotonic`)."""

    saved: int = 0
    listed: tuple[str, ...] = ()
    asked: tuple[object, ...] = ()
    asked_at: float = 0.0


@dataclass
class ObjectsState:
    """Objects page: the last results, as names and numbers.

    `asked` is the type and snapshot of `instances`, and whether they include the watching's own; `listed` are address
    and evidence of `holders`.
    """

    instances: Instances | None = None
    asked: tuple[str, str, bool] = ("", "", False)
    holders: RetentionPaths | None = None
    listed: tuple[int, str] = (0, "")
    size: DeepSize | None = None
    summary: HeapSummary | None = None


@dataclass
class SecretFields:
    """How often fields for passwords and codes were emptied: under another key a field is new, the old one gone."""

    emptied: int = 0


@dataclass
class PeopleState:
    """People page: `shown` are the ids of the table's rows."""

    shown: tuple[int, ...] = ()


@dataclass
class RetrievalState:
    """Retrieval test page: the last result, None before the first run, and what could be read then (None: all)."""

    result: SearchResult | None = None
    readable: frozenset[int] | None = None


@dataclass
class MemoryState:
    """Memory page: the result of the last trim, the event or moment whose range was chosen, and the one closed."""

    trimmed: Trimmed | None = None
    marked: str = ""
    closed: str = ""


@dataclass
class ExperimentForm:
    """Threshold experiment: `own` settings that the user added, `chosen` the selection at that time; `shown` is the
    state of the experiments that the results were drawn with."""

    own: tuple[Setting, ...] = ()
    chosen: tuple[Setting, ...] = ()
    shown: tuple[object, ...] = ()


def state_of(kind: type[State]) -> State:
    """Return this tab's instance of `kind`, a dataclass with defaults."""
    name = f"millpond.{kind.__name__}"
    if name not in st.session_state:
        st.session_state[name] = kind()
    found = st.session_state[name]
    assert isinstance(found, kind)  # noqa: S101 - tells the type checker what the line above guarantees
    return found


def show_page(path: str) -> None:
    """Note the page that this run draws."""
    shown = state_of(OpenPage)
    shown.entered, shown.path = shown.path != path, path


def notify(text: str) -> None:
    """Show `text` as a toast on the next run."""
    state_of(Notices).waiting.append(Notice("done", text))


def notify_problem(error: MillpondError) -> None:
    """Show an error with its hint on the next run."""
    state_of(Notices).waiting.append(Notice("problem", error.message, error.hint))


def query(name: Query) -> str:
    """Return a parameter of the address bar, "" when it is missing."""
    return st.query_params.get(name, "")


def query_number(name: Query) -> int | None:
    """Return a parameter as a number, None when it is not one."""
    text = query(name)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def set_query(name: Query, value: str | int | None) -> None:
    """Set a parameter of the address bar; None or "" removes it."""
    if value is None or value == "":
        st.query_params.pop(name, None)
    else:
        st.query_params[name] = str(value)


def set_queries(values: Mapping[Query, str | int | None]) -> None:
    """Set several parameters of the address bar as one step of the browser's history; None or "" removes one."""
    names = {name.value for name in values}
    kept = {name: value for name, value in st.query_params.to_dict().items() if name not in names}
    kept |= {name.value: str(value) for name, value in values.items() if value not in {None, ""}}
    st.query_params.from_dict(kept)
