"""The toolbar of the page "Objects": its part, the snapshot shown and compared with, and taking a new one."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import streamlit as st

from console.ui.error_boundary import attempt
from console.ui.session_state import Key, Query, notify, query, set_query
from console.ui.shared.dialogs import confirm
from console.ui.shared.formatting import count, escape, local_time, milliseconds, plain, shorten, size
from console.ui.shared.view_choice import view_choice
from services.core.i18n import _, plural
from services.memory.fork_snapshot import NOTICEABLE_PAUSE_SECONDS, expected_pause_seconds
from services.memory.objects.inspector import Inspector
from services.memory.objects.snapshots import MOST_SNAPSHOTS, Snapshot
from services.memory.objects.types import Census


class ObjectsView(StrEnum):
    """The parts of the page; the value is in the address bar."""

    TYPES = "types"
    CONTAINERS = "containers"
    OWNERS = "owners"
    REPEAT = "repeat"


@dataclass(frozen=True, slots=True)
class ShownSnapshot:
    """The snapshot that is shown with its census, and the one it is compared with, if any.

    `watching`: lists include the objects of the watching itself.
    """

    snapshot: Snapshot
    census: Census
    since: Snapshot | None
    watching: bool = False


def objects_view() -> ObjectsView:
    """Draw the choice of the page's part and return it."""
    labels = {
        ObjectsView.TYPES: _("Types"),
        ObjectsView.CONTAINERS: _("Containers"),
        ObjectsView.OWNERS: _("Deep sizes"),
        ObjectsView.REPEAT: _("Repetition test"),
    }
    usual = ObjectsView.CONTAINERS if query(Query.CONTAINER) and not query(Query.VIEW) else ObjectsView.TYPES
    return view_choice(labels, "objects-view", _choose_view, usual=usual)


def _choose_view() -> None:
    set_query(Query.VIEW, st.session_state["objects-view"])
    for name in (Query.TYPE, Query.OBJECT, Query.EVIDENCE, Query.CONTAINER):
        set_query(name, None)


def cost_text(what: str) -> str:
    """Return the cost of `what`, which runs in a copy of the process, as Markdown: the pause of this process."""
    pause = expected_pause_seconds()
    words = _("about {pause}").format(pause=milliseconds(max(1.0, pause * 1000)))
    still = f"**{words}**" if pause > NOTICEABLE_PAUSE_SECONDS else words
    return _("{what} runs in a copy of the process. Making the copy pauses this one for {pause}.").format(
        what=what, pause=still
    )


def objects_toolbar(inspector: Inspector) -> ShownSnapshot | None:
    """Draw the toolbar; return what is to be shown, None before the first snapshot."""
    snapshots = inspector.snapshots()[::-1]
    by_name = {snapshot.name: snapshot for snapshot in snapshots}
    with st.container(horizontal=True, vertical_alignment="bottom", key="objects-bar"):
        if snapshots:
            _choice(_("Snapshot"), Query.SNAPSHOT, [*by_name], by_name)
            _choice(_("Compared with"), Query.SINCE, ["", *by_name], by_name)
        pressed = st.button(
            _("Take a snapshot"), key=Key.OBJECTS_SNAPSHOT, type="primary", icon=":material/photo_camera:"
        )
        if snapshots:
            _manage(inspector, snapshots)
    if pressed:
        with st.spinner(_("Counting all objects in a copy of the process")):
            taken = inspector.take_snapshot()
        set_query(Query.SNAPSHOT, None)
        if snapshots and not query(Query.SINCE):
            set_query(Query.SINCE, snapshots[0].name)  # a further snapshot is taken to see what grew since the last
        notify(plural("{count} object counted.", "{count} objects counted.", taken.objects))
        st.rerun()
    st.caption(cost_text(_("The count")))
    if not snapshots:
        st.info(
            _("A snapshot counts all objects by type and names the largest containers. Two snapshots show what grew."),
            title=_("No snapshots yet"),
            icon=":material/account_tree:",
        )
        return None
    _removed(inspector, by_name)
    snapshot = by_name.get(query(Query.SNAPSHOT)) or snapshots[0]
    census = inspector.snapshot(snapshot.name)
    _figures(census)
    watching = _watching(census)
    since = by_name.get(query(Query.SINCE))
    return ShownSnapshot(snapshot, census, since if since is not snapshot else None, watching)


def _removed(inspector: Inspector, known: Collection[str]) -> None:
    """Say what became of the snapshots that the address names, where they are not there any more."""
    for name, instead in (
        (query(Query.SNAPSHOT), _("The newest one is shown.")),
        (query(Query.SINCE), _("Nothing is compared.")),
    ):
        if name and name not in known:
            st.warning(escape(inspector.removal(name)), title=instead, icon=":material/auto_delete:")


def _watching(census: Census) -> bool:
    """Draw what the watching itself holds; return whether lists are to include it."""
    with st.container(horizontal=True, vertical_alignment="center"):
        shown = st.toggle(_("Include what watching holds"), key=Key.OBJECTS_WATCHING)
        st.caption(
            escape(watching_text(census)) + " " + (_("Included below.") if shown else _("Left out below.")),
            width="content",
        )
    return shown


def watching_text(census: Census) -> str:
    """Return a sentence about the part of a census that belongs to the watching of memory itself."""
    return _("Watching: {objects}, {size}.").format(
        objects=plural("{count} object", "{count} objects", census.watching_objects), size=size(census.watching_bytes)
    )


def _figures(census: Census) -> None:
    figures = [
        (_("Objects"), count(census.objects), _("All live objects, each counted once")),
        (_("Shallow size"), size(census.bytes), _("The objects' own bytes, without the data of arrays")),
        (_("Of these over 512 bytes"), size(census.large_bytes), _("Allocated by malloc, not in Python's own arenas")),
        (_("Arrays and tensors"), size(census.native_bytes), _("Their data, in native memory")),
    ]
    with st.grid(4, gap="small"):
        for label, value, explained in figures:
            st.metric(label, value, border=True, help=explained)
    st.caption(
        _("The process was paused for {pause}; counting took {took} in the copy.").format(
            pause=milliseconds(census.paused * 1000), took=milliseconds(census.took * 1000)
        )
    )


def _choice(label: str, name: Query, names: list[str], known: dict[str, Snapshot]) -> None:
    key = f"objects-{name}"
    asked = query(name)
    wanted = asked if asked in names else names[0]
    if st.session_state.get(key) not in names or st.session_state.get(key) != wanted:
        st.session_state[key] = wanted
    st.selectbox(
        label,
        names,
        key=key,
        format_func=lambda name: _title(known[name]) if name in known else _("nothing"),
        on_change=partial(_store_in_address, name, key),
        width=290,
    )


def _store_in_address(name: Query, key: str) -> None:
    set_query(name, st.session_state[key])


def _title(snapshot: Snapshot) -> str:
    # Without its age: a browser chooses by the text, and one that has changed meanwhile stands for nothing.
    text = local_time(snapshot.time).strftime(_("%d %b %H:%M:%S"))
    if snapshot.kept:
        text += ", " + _("kept")
    return f"{text}, {shorten(plain(snapshot.label), 40)}" if snapshot.label else text


def _manage(inspector: Inspector, snapshots: list[Snapshot]) -> None:
    with st.popover(_("Snapshots"), icon=":material/inventory_2:", key="objects-manage"):
        st.caption(
            _("The newest {most} stay on disk; older ones are deleted unless they are kept as a baseline.").format(
                most=MOST_SNAPSHOTS
            )
        )
        for snapshot in snapshots:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"{escape(_title(snapshot))}, {escape(size(snapshot.disk_bytes))}")
                st.button(
                    _("Do not keep") if snapshot.kept else _("Keep"),
                    key=f"objects-keep-{snapshot.name}",
                    type="tertiary",
                    on_click=_keep,
                    args=(inspector, snapshot.name, not snapshot.kept),
                )
                if st.button(
                    "",
                    key=f"objects-delete-{snapshot.name}",
                    type="tertiary",
                    icon=":material/delete:",
                    help=_("Delete"),
                ):
                    confirm(
                        _("Delete this snapshot?"),
                        (_title(snapshot), _("This frees {size} on disk.").format(size=size(snapshot.disk_bytes))),
                        _("Delete"),
                        partial(_delete, inspector, snapshot.name),
                    )


def _keep(inspector: Inspector, name: str, kept: bool) -> None:
    attempt(lambda: inspector.keep(name, kept=kept))


def _delete(inspector: Inspector, name: str) -> str:
    inspector.delete(name)
    return _("The snapshot was deleted.")
