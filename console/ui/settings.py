"""The page "Settings": the choice of the chat model (select, test, use without a restart) and the settings in force."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import streamlit as st

from console.ui.current_actor import disabled_reason, page_actor
from console.ui.offered_models import model_name_field, offered_models
from console.ui.session_state import ModelState, notify, state_of
from console.ui.shared.formatting import escape, plain
from services.chat.models import ChatModels
from services.chat.models.capabilities import part_name
from services.chat.types import BackendChoice, BackendKind, BackendStatus
from services.core.actor import Permission
from services.core.i18n import _, gap, joined, listed, translated
from services.core.setting_names import renamed_settings, unknown_variables
from services.core.settings import Settings
from services.core.shown_settings import shown_setting
from services.operations.connections import ConnectionCounts


def model_chooser(models: ChatModels) -> None:
    """Draw the choice with the status of the current model."""
    now, status = models.choice(), models.status()
    show_status(status)
    # Everything has its place whatever is chosen: what moved would be there twice while the page is drawn anew.
    with st.container(key="model-capabilities"):
        _capabilities(models, status)
    kind = st.segmented_control(
        _("Answers from"),
        list(BackendKind),
        default=now.kind,
        required=True,
        format_func=_title,
        key="model-kind",
    )
    with st.container(key="model-fields"):
        choice = _fields(models, kind or BackendKind.NONE, now)
    with st.container(horizontal=True, key="model-actions"):
        place = st.container(width="content")
        why = disabled_reason(permission=Permission.CONFIGURE)
        testing = kind is not BackendKind.NONE and place.button(
            _("Test connection"),
            key="model-test",
            icon=":material/network_check:",
            disabled=why is not None or choice is None,
            help=why,
        )
        disabled = why is not None or choice is None or choice == now
        if st.button(_("Use this model"), type="primary", key="model-use", disabled=disabled, help=why):
            assert choice is not None  # noqa: S101 - the button is disabled otherwise
            # A signature is checked before, which takes seconds for a large file.
            with st.spinner(_("Checking the model …")) if choice.kind is BackendKind.GGUF else nullcontext():
                models.choose(page_actor(), choice)
            state_of(ModelState).saved += 1
            notify(_("Answers now come from: {name}.").format(name=_title(choice.kind)))
            st.rerun()
    if testing and choice is not None:
        with st.spinner(_("Testing …")):
            status = models.test(page_actor(), choice)
        show_status(status)
        _capability_list(status)


def _title(kind: BackendKind) -> str:
    return {
        BackendKind.NONE: _("No model: quote the documents"),
        BackendKind.OPENAI: _("OpenAI-compatible server"),
        BackendKind.OLLAMA: _("Ollama"),
        BackendKind.GGUF: _("GGUF file in this process"),
    }[kind]


def _capabilities(models: ChatModels, status: BackendStatus) -> None:
    """Draw what the chosen server was found to take, with a button to forget it."""
    if not (status.takes or status.refuses):
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        _capability_list(status)
        why = disabled_reason(permission=Permission.CONFIGURE)
        if st.button(
            _("Detect again"),
            key="model-forget",
            icon=":material/restart_alt:",
            type="tertiary",
            disabled=why is not None,
            help=why or _("After an update the server may support more; the next question detects it."),
        ):
            models.forget_capabilities(page_actor())
            st.rerun()


def _capability_list(status: BackendStatus) -> None:
    """Draw what a server takes of the protocol and what not, once that is known."""
    if not (status.takes or status.refuses):
        return
    takes = listed(part_name(part) for part in status.takes) or _("questions only")
    text = _("Supports: {parts}.").format(parts=takes)
    if status.refuses:
        refused = listed(part_name(part) for part in status.refuses)
        text += gap() + _("Does not support: {parts}; questions are sent without them.").format(parts=refused)
    st.caption(escape(text), width="content")


def show_status(status: BackendStatus) -> None:
    """Draw a back end's status with its hint."""
    text = escape(joined((status.message, status.hint))) or " "
    title = escape(status.label)
    if status.state == "ready":
        st.success(text, title=title, icon=":material/check_circle:")
    elif status.state == "unlisted":
        st.warning(text, title=title, icon=":material/help:")
    elif status.state == "loading":
        st.info(text, title=title, icon=":material/hourglass_top:")
    elif status.state == "off":
        st.info(text, title=title, icon=":material/format_quote:")
    else:
        st.error(text, title=title, icon=":material/error:")


def _fields(models: ChatModels, kind: BackendKind, now: BackendChoice) -> BackendChoice | None:
    """Draw the fields of a kind of back end; return the choice, None while it is incomplete."""
    old = now if now.kind is kind else BackendChoice(kind)
    if kind is BackendKind.NONE:
        st.caption(_("The sentences that answer best are quoted with their sources. This needs no language model."))
        return BackendChoice(kind)
    if kind is BackendKind.OPENAI:
        return _openai(models, old)
    if kind is BackendKind.OLLAMA:
        return _ollama(models, old)
    path = st.text_input(_("GGUF file on the server"), value=old.path, key="model-path", placeholder="/path/model.gguf")
    st.caption(
        _("Needs the extra gguf. The file is loaded at the first question and unloaded when another model is chosen.")
    )
    return BackendChoice(kind, path=path.strip()) if path and path.strip() else None


def _openai(models: ChatModels, old: BackendChoice) -> BackendChoice | None:
    url = (
        st.text_input(_("URL"), value=old.url, key="model-url", placeholder="http://127.0.0.1:8000/v1") or ""
    ).strip()
    place = st.container(key="model-name-place")  # the list may need the key
    key = st.text_input(
        _("Key"),
        type="password",
        key=f"model-key-{state_of(ModelState).saved}",
        placeholder=_key_placeholder(models, BackendChoice(BackendKind.OPENAI, url=url)),
        help=_("Stored in the data folder, encrypted. Leave empty to keep the stored one of this address."),
    )
    choice = BackendChoice(BackendKind.OPENAI, url=url, model=old.model, api_key=key or "")
    names = offered_models(models, choice) if url else ()
    with place:
        model = model_name_field(old.model, names, "model-name")
        if url and not names:
            st.caption(_("The server lists no models: enter the name of one."))
    if not url or not model:
        st.caption(_("URL and model are required."))
        return None
    return replace(choice, model=model)


def _key_placeholder(models: ChatModels, choice: BackendChoice) -> str:
    """Return which key is kept for an address: its last four characters."""
    if not choice.url or not models.has_key(choice):
        return _("None")
    return _("Unchanged: {key}").format(key=models.shown_key(choice) or _("cannot be decrypted"))


def _ollama(models: ChatModels, old: BackendChoice) -> BackendChoice | None:
    url = (st.text_input(_("URL"), value=old.url, key="model-url", placeholder=_("Found automatically")) or "").strip()
    names = offered_models(models, BackendChoice(BackendKind.OLLAMA, url=url))
    if not names:
        st.caption(
            _("No Ollama responds there, or it has no model. Start it, or pull a model with: ollama pull llama3.2")
        )
    model = model_name_field(old.model or next(iter(names), ""), names, "model-name-ollama")
    return BackendChoice(BackendKind.OLLAMA, url=url, model=model) if model else None


def connection_limits(counts: ConnectionCounts) -> None:
    """Draw how many connections there may be, by settings and system; nothing where no server runs."""
    if not counts.limit:
        return
    text = _("Connections: at most {limit:,}; descriptors: {descriptors:,}").format(
        limit=counts.limit, descriptors=counts.descriptors
    )
    if counts.descriptors_found != counts.descriptors:
        text += gap() + _("(raised at the start from {found:,})").format(found=counts.descriptors_found)
    st.caption(f"{text}.")


def settings_table(settings: Settings) -> None:
    """Draw every setting with its value and origin; of secrets their last four characters."""
    import pandas as pd

    rows = []
    for name, about in type(settings).model_fields.items():
        shown = plain(shown_setting(settings, name))
        changed = name in settings.model_fields_set
        rows.append(
            (name, shown, _("yes") if changed else "", translated(about.description or ""), f"MILLPOND_{name.upper()}")
        )
    columns = [_("Setting"), _("Value"), _("Set"), _("Description"), _("Environment")]
    st.dataframe(
        pd.DataFrame(rows, columns=columns),
        hide_index=True,
        height=560,
        alt=_("Settings in force"),
        column_config={
            columns[0]: st.column_config.TextColumn(width=190, pinned=True),
            columns[1]: st.column_config.TextColumn(width=220),
            columns[2]: st.column_config.TextColumn(width=50),
            columns[3]: st.column_config.TextColumn(width="large"),
        },
    )
    for unknown in unknown_variables():
        text = _("{name} in the environment is no setting and was ignored.").format(name=f"`{plain(unknown.name)}`")
        if unknown.nearest:
            text += gap() + _("Did you mean {nearest}?").format(nearest=f"`{unknown.nearest}`")
        st.warning(text, icon=":material/help:")
    for setting in renamed_settings():
        st.caption(
            _("{old} is now called {new}; the old name is still read.").format(
                old=f"`{setting.old}`", new=f"`{setting.new}`"
            )
        )
