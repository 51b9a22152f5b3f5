"""Streamlit's private API: sessions, uploaded files, media files, caches, reruns. No other module imports it.

Streamlit has no public interface to its memory. This is written for the pinned version (1.67); a test fails when
another version moves a part. Without a running server every function returns nothing, and none fails.

Why sessions have to be reaped: Streamlit stores the session of a closed tab for `disconnectedSessionTTL` seconds so
that the tab can reconnect. After that it is unreachable, but it is dropped only when the next tab closes. Without a
next tab up to 128 of them stay, each with its state, uploads, media files, an event loop and three file descriptors
(github.com/streamlit/streamlit/issues/12506). Following references in a running server showed no other holder;
`pop_expired_sessions` cuts this one. Files whose tab closed during the upload belong to no session at all.
"""

# ruff: noqa: SLF001 - the one place for it

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any
from weakref import WeakKeyDictionary

from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.runtime import Runtime, exists, get_instance
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.caching.cache_data_api import _data_caches
from streamlit.runtime.caching.cache_resource_api import _resource_caches
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage
from streamlit.runtime.memory_session_storage import MemorySessionStorage
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.pages_manager import PagesManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.scriptrunner.script_cache import ScriptCache
from streamlit.runtime.scriptrunner_utils.script_requests import (
    _TRIGGER_PROTO_FIELDS,
    ScriptRequestType,
    _has_active_trigger_value,
)
from streamlit.runtime.state.common import unpack_widget_state_value
from streamlit.runtime.websocket_session_manager import WebsocketSessionManager
from streamlit.web import bootstrap

# Of a session: state of its script and widgets, closures of its fragments, messages that wait to be sent.
PARTS = ("_session_state", "_fragment_storage", "_browser_queue")
# Owned by the process, not by whoever refers to them.
SHARED_TYPES: tuple[type, ...] = (
    Runtime,
    AppSession,
    MemoryUploadedFileManager,
    MemoryMediaFileStorage,
    PagesManager,
    ScriptCache,
    WebsocketSessionManager,
    threading.Thread,
)

# Keys of components that only rerun their fragment end like this: a lost tick is repeated. In the ids of their triggers
# "__" and the name of the event follow.
TICK = "-beat"

# What the browser told of each widget last, by session: some hundred bytes each.
_told: WeakKeyDictionary[AppSession, dict[str, bytes]] = WeakKeyDictionary()


def load_config_options(options: dict[str, Any]) -> None:
    """Set configuration options of Streamlit over those of `.streamlit/config.toml`."""
    bootstrap.load_config_options(options)


def current_session_id() -> str | None:
    """Return the id of the session whose script runs in this thread; it is a secret of its tab."""
    context = get_script_run_ctx(suppress_warning=True)
    return context.session_id if context is not None else None


def current_session() -> AppSession | None:
    """Return the session whose script runs in this thread."""
    context = get_script_run_ctx(suppress_warning=True)
    manager = _manager()
    # AppTest runs scripts without sessions.
    info = manager.get_session_info(context.session_id) if context is not None and manager is not None else None
    return info.session if info is not None and isinstance(info.session, AppSession) else None


def is_history_navigation() -> bool:
    """Return whether this run of the page follows the browser's Back or Forward: its address is from another time."""
    context = get_script_run_ctx(suppress_warning=True)
    return context is not None and context.is_history_navigation


def connected_sessions() -> list[AppSession]:
    """Return the sessions of connected tabs."""
    manager = _manager()
    return [info.session for info in manager.list_active_sessions()] if manager is not None else []


def connected_count() -> int:
    """Return the number of connected sessions; costs nothing."""
    return get_instance()._session_mgr.num_active_sessions() if exists() else 0


def disconnected_sessions() -> list[AppSession]:
    """Return the sessions whose tabs lost their connection recently and may reconnect."""
    manager = _manager()
    if manager is None:
        return []
    with manager._storage_lock:
        return [info.session for info in manager._session_storage.list()]


def expired_sessions() -> list[AppSession]:
    """Return the sessions that no tab can reconnect to and that are still stored."""
    manager = _manager()
    storage = manager._session_storage if manager is not None else None
    if manager is None or not isinstance(storage, MemorySessionStorage):
        return []
    cache: Any = storage._cache
    with manager._storage_lock:
        now = cache.timer()
        return [cache._data[key].session for key, until in cache._expirations.items() if until <= now]


def pop_expired_sessions() -> list[AppSession]:
    """Remove the expired sessions from the storage and return them. On the event loop's thread only."""
    manager = _manager()
    storage = manager._session_storage if manager is not None else None
    if manager is None or not isinstance(storage, MemorySessionStorage):
        return []
    cache: Any = storage._cache
    with manager._storage_lock:
        return [info.session for _key, info in cache.expire(cache.timer())]


def shut_down(session: AppSession) -> bool:
    """Shut down a session without a tab, and clear its state. On the event loop's thread only.

    Returns whether it is complete: a running script is asked to stop, and a later call does the rest.
    """
    session.shutdown()
    if session._scriptrunner is not None:
        return False
    session._session_state.clear()
    session._fragment_storage.clear()
    session._fragment_storage.clear_outside_wrappers()
    session._browser_queue.clear()
    return True


def user_info(session: AppSession) -> dict[str, Any]:
    """Return what was said of the user by trusted headers when the session's tab connected."""
    return dict(session._user_info)


def end_session(session: AppSession) -> None:
    """Drop a session for good, connected or not, with its state and files. On the event loop's thread only."""
    get_instance().close_session(session.id)
    remove_uploads(session.id)
    remove_media([session.id])
    remove_media([])  # downloads


def redraw(session: AppSession) -> None:
    """Run the session's page again, as it was run last. On the event loop's thread only."""
    state = ClientState()
    state.CopyFrom(session._client_state)
    state.fragment_id = ""
    session.request_rerun(state)


def parts_of(session: AppSession) -> list[object]:
    """Return the objects that a session keeps for its scripts."""
    return [getattr(session, part, None) for part in PARTS]


def uploaded_files() -> dict[str, list[bytes]]:
    """Return the contents of uploaded files by session id."""
    manager = _uploads()
    if manager is None:
        return {}
    with manager._lock:
        return {name: [record.data for record in files.values()] for name, files in manager.file_storage.items()}


def remove_upload(file_id: str) -> None:
    """Remove an uploaded file of the session whose script runs."""
    context = get_script_run_ctx(suppress_warning=True)
    if context is not None and isinstance(context.uploaded_file_mgr, MemoryUploadedFileManager):
        context.uploaded_file_mgr.remove_file(session_id=context.session_id, file_id=file_id)


def remove_uploads(session_id: str) -> None:
    """Remove all uploaded files of a session."""
    manager = _uploads()
    if manager is not None:
        manager.remove_session_files(session_id)


def media_files() -> dict[str, bytes]:
    """Return the contents of images, sounds and downloads that pages show, by id."""
    storage = get_instance().media_file_mgr._storage if exists() else None
    if not isinstance(storage, MemoryMediaFileStorage):
        return {}
    return {name: file.content for name, file in storage._files_by_id.copy().items()}


def media_of_sessions() -> dict[str, set[str]]:
    """Return the ids of the files that each session shows."""
    if not exists():
        return {}
    manager = get_instance().media_file_mgr
    with manager._lock:
        return {name: set(files.values()) for name, files in manager._files_by_session_and_coord.items()}


def remove_media(session_ids: Iterable[str]) -> None:
    """Remove the media files of these sessions and all that no session shows (downloads: at the second call)."""
    if not exists():
        return
    runtime = get_instance()
    for session_id in session_ids:
        runtime.media_file_mgr.clear_session_refs(session_id)
        runtime.dataframe_source_mgr.clear_all_for_session(session_id)
    runtime.media_file_mgr.remove_orphaned_files()


def cached_data() -> list[bytes]:
    """Return the results that `st.cache_data` keeps."""
    contents: list[bytes] = []
    for cache in _caches(_data_caches):
        storage = cache.storage
        if hasattr(storage, "_mem_cache"):
            with storage._mem_cache_lock:
                contents += storage._mem_cache._data.values()
    return contents


def cached_resources() -> list[object]:
    """Return the objects that `st.cache_resource` keeps."""
    values: list[object] = []
    for cache in _caches(_resource_caches):
        with cache._mem_cache_lock:
            values += [result.value for result in cache._mem_cache._data.values()]
    return values


def expire_caches() -> int:
    """Evict expired entries of both caches and return how many; Streamlit waits for the function's next call."""
    dropped = 0
    for cache in _caches(_data_caches):
        storage = cache.storage
        if hasattr(storage, "_mem_cache"):
            with storage._mem_cache_lock:
                dropped += len(storage._mem_cache.expire())
                storage._report_removals(storage._take_pending_removals())
    for cache in _caches(_resource_caches):
        with cache._mem_cache_lock:
            dropped += len(cache._mem_cache.expire())
    return dropped


def patch_fragment_targets() -> None:
    """Patch Streamlit so that a rerun request runs the fragment of the button that was pressed, or the field changed,
    and a tick tells nothing but what is new.

    The browser puts simultaneous changes into one message and names only the first fragment among them (pull request
    12747 there). A click at the moment of a tick, or while the browser was busy, ran the ticking fragment only: the
    click was lost; a choice among the parts of a page stood in the address, above the part from before. And until it
    hears of the next page, the browser names the one that is being left: Streamlit would run that one again for a tick,
    in place of the page whose link was followed. It tells the values of all fields with each message, too: those of a
    view that had just been left came back with a tick, and its fields were empty when it was shown again. Idempotent,
    for the whole process.
    """
    if getattr(AppSession.request_rerun, "patched", False):
        return
    original = AppSession.request_rerun

    def request_rerun(self: AppSession, client_state: ClientState | None) -> None:
        if client_state is not None:
            if client_state.fragment_id and _is_left(self, client_state.page_script_hash):
                return
            widgets = client_state.widget_states.widgets
            active = [each for each in widgets if _has_active_trigger_value(each)]
            pressed = [each.id for each in active if f"{TICK}__" not in each.id]
            changed = _changed_fields(self, widgets)
            if client_state.fragment_id:
                fields = (each.id for each in changed if _is_news(self, each))
                target = _target(self, client_state.fragment_id, chain(pressed, fields))
                # Of a tick alone its news are told on, and what waits to be told: this takes the place of that.
                new = {each.id for each in chain(active, changed)} | _waiting(self)
                told = [each for each in widgets if each.id in new] if active and not pressed else widgets
                client_state = _with(client_state, target, told)
        original(self, client_state)

    request_rerun.patched = True  # type: ignore[attr-defined]  # a mark on the function
    AppSession.request_rerun = request_rerun  # type: ignore[method-assign]  # there is no hook


def _is_left(session: AppSession, page: str) -> bool:
    """Return whether another page than `page` (a hash; "": not known) was asked for last."""
    runner = session._scriptrunner
    asked = runner._requests._rerun_data if runner is not None else session._client_state
    return bool(page and asked.page_script_hash) and asked.page_script_hash != page


def _waiting(session: AppSession) -> set[str]:
    """Return the widgets of which the session's script has not been told yet what the browser has."""
    requests = session._scriptrunner._requests if session._scriptrunner is not None else None
    if requests is None or requests._state is not ScriptRequestType.RERUN:
        return set()
    states = requests._rerun_data.widget_states
    return {each.id for each in states.widgets} if states is not None else set()


def _changed_fields(session: AppSession, widgets: Iterable[WidgetState]) -> list[WidgetState]:
    """Remember what the browser tells of fields; return those of which it told something else before."""
    told = {each.id: each for each in widgets if each.WhichOneof("value") not in _TRIGGER_PROTO_FIELDS}
    before = _told.get(session, {})
    now = _told[session] = {name: each.SerializeToString() for name, each in told.items()}
    return [each for name, each in told.items() if before.get(name) != now[name]]


def _is_news(session: AppSession, told: WidgetState) -> bool:
    """Return whether the session's page has another value of a widget than the browser tells."""
    state = session._session_state
    known = state._new_widget_state.widget_metadata.get(told.id)
    if known is None:
        return False
    if told.WhichOneof("value") == "file_uploader_state_value":  # to read it would take the files over
        return bool(told.file_uploader_state_value.uploaded_file_info)
    drawn = state._new_widget_state.get(told.id, state._old_state.get(told.id))
    try:
        return bool(known.deserializer(unpack_widget_state_value(told)) != drawn)
    except (TypeError, ValueError):  # values that cannot be compared, or are of a widget that is drawn anew by now
        return True


def _target(session: AppSession, fragment_id: str, used: Iterable[str]) -> str:
    """Return the fragment of the widgets that were used, "" (a full run) if they are in several."""
    known = session._session_state._new_widget_state.widget_metadata
    fragments = {known[widget].fragment_id for widget in used if widget in known}
    if fragments <= {fragment_id}:
        return fragment_id
    only = fragments.pop() if len(fragments) == 1 else None
    return only if only and session.has_fragment(only) else ""


def _with(client_state: ClientState, fragment_id: str, widgets: Sequence[WidgetState]) -> ClientState:
    """Return `client_state` with this fragment and these widgets."""
    if client_state.fragment_id == fragment_id and widgets is client_state.widget_states.widgets:
        return client_state
    other = ClientState()
    other.CopyFrom(client_state)
    other.fragment_id = fragment_id
    if len(widgets) != len(client_state.widget_states.widgets):
        kept = [*widgets]
        del other.widget_states.widgets[:]
        other.widget_states.widgets.extend(kept)
    return other


def _caches(caches: Any) -> list[Any]:
    with caches._caches_lock:
        return [cache for functions in caches._function_caches.values() for cache in functions.values()]


def _manager() -> WebsocketSessionManager | None:
    manager = getattr(get_instance(), "_session_mgr", None) if exists() else None
    return manager if isinstance(manager, WebsocketSessionManager) else None


def _uploads() -> MemoryUploadedFileManager | None:
    manager = get_instance().uploaded_file_mgr if exists() else None
    return manager if isinstance(manager, MemoryUploadedFileManager) else None
