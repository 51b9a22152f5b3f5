"""The table of tracing snapshots on disk: contents, names and notes, download, deletion."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from console.ui.current_actor import page_actor
from console.ui.error_boundary import attempt, guarded
from console.ui.session_state import notify
from console.ui.shared.dialogs import close_dialog, confirm, open_dialog
from console.ui.shared.formatting import local_time, plain, size, size_unit
from services.core.i18n import _
from services.memory.tracing.snapshot_store import LONGEST_NAME, LONGEST_NOTE, MOST_AUTOMATIC, MOST_SNAPSHOTS
from services.memory.tracing.tracer import Tracer
from services.memory.tracing.types import SnapshotInfo


@st.fragment
@guarded
def snapshot_table(tracer: Tracer) -> None:
    """Draw the table of snapshots; nothing if there are none."""
    snapshots = tracer.snapshots()
    if not snapshots:
        return
    st.subheader(_("Snapshots"), anchor=False)
    _table(tracer, snapshots)
    st.caption(
        _(
            "Snapshots are stored in the data folder and survive restarts. At most {own} and {automatic} automatic "
            "ones are kept, the oldest are deleted first; one with a name does not count as automatic."
        ).format(own=MOST_SNAPSHOTS, automatic=MOST_AUTOMATIC)
    )


def snapshot_label(info: SnapshotInfo) -> str:
    """Return a snapshot's label in lists: its name or kind, time and size."""
    time = local_time(info.time).strftime(_("%d %b %H:%M:%S"))
    return f"{snapshot_title(info)} · {time} · {size(info.bytes)}"


def snapshot_title(info: SnapshotInfo) -> str:
    """Return a snapshot's name, or its kind."""
    if info.damaged:
        return _("Damaged")
    return plain(info.name) or (_("Automatic") if info.automatic else _("Snapshot"))


def _table(tracer: Tracer, snapshots: Sequence[SnapshotInfo]) -> None:
    import pandas as pd

    column = st.column_config
    ids = [info.id for info in snapshots]
    traced, stored = size_unit([info.bytes for info in snapshots]), size_unit([info.size for info in snapshots])
    frame = pd.DataFrame(
        {
            "edit": [":material/edit:"] * len(snapshots),
            "name": [snapshot_title(info) for info in snapshots],
            "time": [local_time(info.time) for info in snapshots],
            "bytes": traced.column(info.bytes for info in snapshots),
            "blocks": [info.blocks for info in snapshots],
            "frames": [info.frames for info in snapshots],
            "paused": [info.paused * 1000 for info in snapshots],
            "size": stored.column(info.size for info in snapshots),
            "file": [f"./api/tracing/snapshots/{info.id}/file" for info in snapshots],
            "delete": [":material/delete:"] * len(snapshots),
            "note": [plain(info.note) for info in snapshots],
        }
    )
    number = column.NumberColumn
    st.dataframe(
        frame,
        key="snapshots",
        hide_index=True,
        height="content" if len(ids) <= 10 else 400,
        alt=_("Snapshots"),
        column_config={
            "edit": column.ButtonColumn(
                "",
                width=40,
                type="tertiary",
                key="snapshot-edit",
                on_click=partial(_clicked, "snapshot-edit", tracer, ids, _edit),
                help=_("Name and note"),
            ),
            "name": column.TextColumn(_("Name"), width=150),
            "time": column.DatetimeColumn(_("Taken"), format="YYYY-MM-DD HH:mm:ss", width=150),
            "bytes": number(_("Traced, {unit}").format(unit=traced.name), format=traced.number, width=90),
            "blocks": number(_("Blocks"), format="localized", width=84),
            "frames": number(_("Depth"), format="%d", width=60, help=_("Recorded calls per allocation")),
            "size": number(_("On disk, {unit}").format(unit=stored.name), format=stored.number, width=90),
            "paused": number(_("Pause, ms"), format="%.1f", width=84, help=_("How long all threads were paused")),
            "note": column.TextColumn(_("Note"), width=160),
            "file": column.LinkColumn(_("File"), display_text=_("Download"), width=84),
            "delete": column.ButtonColumn(
                "",
                width=40,
                type="tertiary",
                key="snapshot-delete",
                on_click=partial(_clicked, "snapshot-delete", tracer, ids, _ask_delete),
                help=_("Delete"),
            ),
        },
    )


def _clicked(key: str, tracer: Tracer, ids: Sequence[str], action: object) -> None:
    row = int(st.session_state[key].row)
    info = attempt(tracer.info, ids[row]) if row < len(ids) else None
    if info is not None and callable(action):
        action(tracer, info)


def _edit(tracer: Tracer, info: SnapshotInfo) -> None:
    def body() -> None:
        with st.form("snapshot-form", border=False):
            name = st.text_input(_("Name"), value=info.name, max_chars=LONGEST_NAME, key="snapshot-name")
            note = st.text_area(_("Note"), value=info.note, max_chars=LONGEST_NOTE, key="snapshot-note")
            if st.form_submit_button(_("Save"), type="primary", key="snapshot-save"):
                tracer.describe(info.id, name=name, note=note)
                notify(_("Name and note were saved."))
                close_dialog()

    open_dialog(_("Name and note"), body)


def _ask_delete(tracer: Tracer, info: SnapshotInfo) -> None:
    def delete() -> str:
        tracer.delete(page_actor(), info.id)
        return _("The snapshot was deleted.")

    consequence = _("Deletes {name} with {size} on disk.").format(name=snapshot_label(info), size=size(info.size))
    confirm(_("Delete this snapshot?"), [consequence], _("Delete"), delete)
