"""The backups on the page "Overview": how old the newest is, what is wrong, the last ones, and making one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import streamlit as st

from console.ui.current_actor import disabled_reason
from console.ui.error_boundary import attempt, guarded, rerun_for_notices
from console.ui.rights import as_visitor
from console.ui.shared.formatting import ago, escape, local_time, plain, size
from console.ui.shared.heartbeat import heartbeat
from services.backup.backup_service import Backups
from services.backup.backup_types import BackupGeneration, BackupStage, BackupStatus
from services.core.actor import Permission
from services.core.i18n import _, plural
from services.core.machine import MEGABYTE

_BUSY_SECONDS = 1.0
_IDLE_SECONDS = 10.0
_SHOWN = 20


@st.fragment
@guarded
def backup_view(backups: Backups) -> None:
    """Draw the backups and keep them up to date."""
    rerun_for_notices()
    status = backups.status()
    st.subheader(_("Backups"), anchor=False)
    if not status.destination and status.last_at is None:
        st.caption(_("No folder for backups is set: MILLPOND_BACKUP_DESTINATION names one, best on another disk."))
        return
    if status.warning:
        st.warning(escape(status.hint) or " ", title=escape(status.warning), icon=":material/warning:")
    with st.container(horizontal=True, vertical_alignment="center", key="backup-state"):
        st.markdown(escape(_sentence(status)), width="stretch")
        idle = status.stage is BackupStage.IDLE
        here = idle and bool(status.destination)
        _button(_("Back up now"), "make", ":material/backup:", backups.start_backup, here)
        _button(
            _("Verify the newest"),
            "verify",
            ":material/verified:",
            backups.start_verification,
            here and bool(status.generations),
        )
    # It has its place whatever is done: what moved would be there twice while the page is drawn anew.
    with st.container(key="backup-progress"):
        if not idle:
            share = min(1.0, status.done / status.total) if status.total else 0.0
            st.progress(share, escape(_progress(status)))
    if status.generations:
        _table(status.generations)
    heartbeat("backups", _IDLE_SECONDS if idle else _BUSY_SECONDS)


def _button(label: str, key: str, icon: str, act: Callable[..., object], enabled: bool) -> None:
    why = disabled_reason(permission=Permission.CONFIGURE)
    st.button(
        label,
        key=f"backup-{key}",
        icon=icon,
        disabled=why is not None or not enabled,
        help=why,
        on_click=attempt,
        args=(as_visitor(act),),
    )


def _sentence(status: BackupStatus) -> str:
    if status.last_at is None:
        text = _("No backup has been made yet; they go to {folder}.")
        return text.format(folder=plain(status.destination))
    when = ago(datetime.fromtimestamp(status.last_at, UTC))
    if not status.destination:
        return _("The newest backup was made {ago} by another node ({node}); no folder for them is set here.").format(
            ago=when, node=plain(status.made_by) or "-"
        )
    if status.made_by:
        text = _("The newest backup was made {ago} by the node {node}; they go to {folder}.")
        return text.format(ago=when, node=plain(status.made_by), folder=plain(status.destination))
    return _("The newest backup was made {ago}; they go to {folder}.").format(
        ago=when, folder=plain(status.destination)
    )


def _progress(status: BackupStatus) -> str:
    stage = {
        BackupStage.FILES: _("Copying originals"),
        BackupStage.DATABASE: _("Copying the database"),
        BackupStage.TIDYING: _("Removing old backups"),
        BackupStage.VERIFYING: _("Verifying"),
    }.get(status.stage, "")
    if not status.total:
        return stage
    return _("{stage}: {done} of {total}").format(stage=stage, done=size(status.done), total=size(status.total))


def _table(generations: tuple[BackupGeneration, ...]) -> None:
    import pandas as pd

    rows = [
        (
            local_time(each.made_at),
            each.size / MEGABYTE,
            each.copied / MEGABYTE,
            each.counts.get("documents", 0),
            _verified(each),
            each.name,
        )
        for each in generations[:_SHOWN]
    ]
    names = [_("Made"), _("Size, MB"), _("New, MB"), _("Documents"), _("Verified"), _("Name")]
    st.dataframe(
        pd.DataFrame(rows, columns=names),
        hide_index=True,
        alt=_("Backups"),
        column_config={
            names[0]: st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm"),
            names[1]: st.column_config.NumberColumn(format="%.1f"),
            names[2]: st.column_config.NumberColumn(format="%.1f", help=_("What it added to those before it")),
        },
    )
    if len(generations) > _SHOWN:
        more = len(generations) - _SHOWN
        st.caption(plural("{count} older backup", "{count} older backups", more))


def _verified(generation: BackupGeneration) -> str:
    if generation.problems:
        return plural("{count} damaged file", "{count} damaged files", generation.problems)
    if generation.verified_at is None:
        return _("not yet")
    return _("whole, {ago}").format(ago=ago(datetime.fromtimestamp(generation.verified_at, UTC)))
