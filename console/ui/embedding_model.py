"""The embedding model of the documents: what a change of it brings and costs, its progress, and its buttons."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from console.navigation import PageName, may_open, page
from console.ui.current_actor import disabled_reason, page_actor
from console.ui.error_boundary import attempt, guarded, rerun_for_notices
from console.ui.rights import as_visitor
from console.ui.shared.formatting import count, escape, minutes, size, time_of_day
from console.ui.shared.heartbeat import heartbeat
from console.ui.shared.remedy_links import remedies_in, remedy_links
from services.core.actor import Permission
from services.core.i18n import _
from services.knowledge.model_change import ModelChange
from services.knowledge.model_change.types import ACTIVE, ChangeCost, ChangeStage, ModelChangeStatus, ModelFacts

_BUSY_SECONDS = 1.0
_IDLE_SECONDS = 5.0
_MOVING = frozenset({ChangeStage.EMBEDDING, ChangeStage.SWITCHING, ChangeStage.TIDYING, ChangeStage.WAITING})


@st.fragment
@guarded
def embedding_model_view(change: ModelChange) -> None:
    """Draw the model that answers and the change to another one, and keep it up to date."""
    rerun_for_notices()
    status = change.status()
    with st.container(key="embedding-model"):
        st.markdown(_("The documents are embedded with {name}.").format(name=f"**{escape(status.serving.name)}**"))
        if status.stage is ChangeStage.LOST:
            _lost(status)
        if status.stage is ChangeStage.TIDYING:
            st.caption(_("The change is done; the new vectors take the place of the old ones."))
        if status.coming is not None:
            _change(change, status, status.coming)
    heartbeat("embedding-model-beat", _BUSY_SECONDS if status.stage in _MOVING else _IDLE_SECONDS)


def embedding_model_notice(change: ModelChange) -> None:
    """Draw, above the documents, that their model is being changed or could be, with the way to where it is decided."""
    status = change.status()
    if status.stage is ChangeStage.LOST:
        _lost(status)
        return
    if status.coming is None or status.stage is ChangeStage.CANCELLED:
        return
    if status.stage is ChangeStage.OFFERED and not page_actor().may(Permission.CONFIGURE):
        return
    with st.container(horizontal=True, vertical_alignment="center", key="embedding-model-notice"):
        if status.stage in ACTIVE:
            st.progress(status.share, escape(_progress_text(status, status.coming)))
        else:
            text = _("The documents can be changed to the embedding model {name}.")
            st.caption(escape(text.format(name=status.coming.name)), width="content")
        if may_open(page_actor(), PageName.SETTINGS):
            st.page_link(page(PageName.SETTINGS), label=_("Embedding model"), icon=":material/tune:")


def _lost(status: ModelChangeStatus) -> None:
    st.warning(
        _("Its documents are embedded anew; until then only their words are searched. Nothing else is lost."),
        title=escape(_("The files of the embedding model {name} are gone").format(name=status.lost)),
        icon=":material/help:",
    )


def _change(change: ModelChange, status: ModelChangeStatus, coming: ModelFacts) -> None:
    if status.stage in ACTIVE:
        st.progress(status.share, escape(_progress_text(status, coming)))
        _state(status)
    else:
        st.markdown(
            _("It can be changed to {name}: all documents are embedded anew beside, then it answers.").format(
                name=f"**{escape(coming.name)}**"
            )
        )
        if status.stage is ChangeStage.CANCELLED:
            st.caption(escape(_("Cancelled by {person}.").format(person=status.person or _("the service"))))
        for text in status.brings:
            st.caption(escape(text))
    if status.cost is not None:
        st.caption(_cost(status, status.cost))
    _buttons(change, status)


def _state(status: ModelChangeStatus) -> None:
    """Draw why a change does not move, where it does not."""
    if status.stage is ChangeStage.WAITING:
        st.caption(_(":material/pause_circle: Waiting, nothing is lost: {reason}").format(reason=escape(status.reason)))
    elif status.stage is ChangeStage.PAUSED:
        when = "" if status.changed_at is None else time_of_day(status.changed_at.timestamp())
        text = _("Paused by {person} at {time}; what is done is kept.")
        st.caption(escape(text.format(person=status.person or _("the service"), time=when)))
    elif status.stage is ChangeStage.FAILED:
        st.error(escape(f"{status.error} {status.hint}".strip()), icon=":material/error:")
        remedy_links(remedies_in(status.error, status.hint))


def _progress_text(status: ModelChangeStatus, coming: ModelFacts) -> str:
    if status.stage is ChangeStage.SWITCHING:
        return _("All chunks are embedded with {name}; it answers in a moment").format(name=coming.name)
    text = _("{percent:.0%} embedded with {name}; chunks: {done} of {total}").format(
        percent=status.share, name=coming.name, done=count(status.done), total=count(status.total)
    )
    if status.stage is ChangeStage.EMBEDDING and status.seconds_left is not None:
        text += _(", {rate:.1f} a second, about {time} left").format(
            rate=status.chunks_per_second, time=minutes(status.seconds_left)
        )
    return text


def _cost(status: ModelChangeStatus, cost: ChangeCost) -> str:
    text = _("Meanwhile it takes {memory} of memory for a second model and index, and {disk} on disk.").format(
        memory=size(cost.model_bytes + cost.index_bytes), disk=size(cost.disk_bytes)
    )
    if status.stage not in ACTIVE:
        if cost.seconds is None:
            text += " " + _("How long it takes is not measured yet; chunks to embed: {chunks}.").format(
                chunks=count(cost.chunks)
            )
        else:
            text += " " + _("It takes about {time}; chunks to embed: {chunks}, {rate:.1f} a second.").format(
                chunks=count(cost.chunks), rate=status.chunks_per_second, time=minutes(cost.seconds)
            )
    return escape(text)


def _buttons(change: ModelChange, status: ModelChangeStatus) -> None:
    why = disabled_reason(permission=Permission.CONFIGURE)

    def button(label: str, key: str, icon: str, act: Callable[..., object], *, primary: bool = False) -> None:
        st.button(
            label,
            key=f"embedding-model-{key}",
            icon=icon,
            type="primary" if primary else "secondary",
            disabled=why is not None,
            help=why,
            on_click=attempt,
            args=(as_visitor(act),),
        )

    stage = status.stage
    with st.container(horizontal=True, key="embedding-model-actions"):
        if stage in {ChangeStage.OFFERED, ChangeStage.CANCELLED}:
            button(_("Change the model"), "start", ":material/play_arrow:", change.start, primary=True)
            button(_("Measure"), "measure", ":material/speed:", change.measure)
        elif stage in {ChangeStage.PAUSED, ChangeStage.FAILED}:
            button(_("Resume"), "resume", ":material/play_arrow:", change.resume, primary=True)
        elif stage in {ChangeStage.EMBEDDING, ChangeStage.WAITING}:
            button(_("Pause"), "pause", ":material/pause:", change.pause)
        if stage in ACTIVE - {ChangeStage.SWITCHING}:
            button(_("Cancel the change"), "cancel", ":material/close:", change.cancel)
