"""Name and password on the page "My account", and one's own conversations as a file."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import streamlit as st

from console.ui.current_actor import page_actor, role_word, sign_out
from console.ui.session_state import Key, notify
from console.ui.shared.formatting import escape
from console.ui.shared.secret_fields import empty_secret_fields, new_password_fields, password_field, same_twice
from services.app.container import Services
from services.core.errors import ConflictError
from services.core.i18n import _, plural
from services.identity.types import Person

_MOST_EXPORTED = 32 * 1024 * 1024  # characters: the file is in memory while it is downloaded


def profile_view(person: Person) -> None:
    """Draw who is signed in, and the way out."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        shown = escape(person.display_name or person.name)
        words = _("{name}: {role}").format(name=person.name, role=role_word(person.role))
        st.markdown(f"**{shown}**  \n:gray[{escape(words)}]", width="stretch")
        st.button(_("Sign out"), key=Key.ACCOUNT_SIGN_OUT, icon=":material/logout:", on_click=sign_out)


def name_form(services: Services, person: Person) -> None:
    """Draw the form for the name that is shown."""
    with st.form("account-name", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input(
            _("Display name"), value=person.display_name, max_chars=200, key="account-display-name", width=320
        )
        sent = st.form_submit_button(_("Save"), key="account-name-save")
    if sent:
        services.identity.accounts.rename(page_actor(services), person.id, name.strip())
        notify(_("The name was saved."))
        st.rerun()


def password_form(services: Services, person: Person) -> None:
    """Draw the form for a new password; people who come from a provider have none to change."""
    if not person.has_password:
        st.caption(_("You sign in with an identity provider; there is no password here."))
        return
    with st.container(width=440), st.form("account-password", border=True):
        old = password_field(_("Current password"), "account-old")
        fields = new_password_fields("account")
        st.caption(_("All your other sessions end."))
        sent = st.form_submit_button(_("Change password"), key="account-password-save")
        if sent:
            new = same_twice(fields)
            services.identity.account.change_password(page_actor(services), old, new)
            empty_secret_fields()
            notify(_("The password was changed; your other sessions ended."))
            st.rerun()


def provider_view(services: Services, person: Person) -> None:
    """Draw with which identity provider the account is linked, and the way to link it."""
    if not services.settings.oidc_issuer:
        return
    st.subheader(_("Identity provider"), anchor=False)
    actor = page_actor(services)
    links = services.identity.links.of_person(actor, person.id)
    for link in links:
        st.markdown(escape(_("Linked: {issuer}, as {subject}").format(issuer=link.issuer, subject=link.subject)))
    if not any(link.issuer == services.settings.oidc_issuer for link in links):
        st.link_button(_("Link this account"), "./sign-in/oidc/link", icon=":material/link:")
    if services.identity.sessions.is_by_provider(actor.session_id):
        st.link_button(_("Sign out here and there"), "./sign-out", icon=":material/logout:")


def conversations_view(services: Services) -> None:
    """Draw the download of all one's conversations."""
    number = len(services.conversations.conversations(page_actor(services), limit=10_000))
    if not number:
        st.caption(_("You have no conversations."))
        return
    st.markdown(
        _("You have {conversations}. Nobody else can read them, not even administrators.").format(
            conversations=plural("{count} conversation", "{count} conversations", number)
        )
    )

    def made() -> str:
        return "".join(_exported(services))

    st.download_button(
        _("Download all"),
        data=made,
        file_name=f"conversations-{datetime.now(UTC):%Y-%m-%d}.json",
        mime="application/json",
        icon=":material/download:",
        key="account-export",
        on_click="ignore",
    )


def _exported(services: Services) -> Iterator[str]:
    """Yield one's conversations as pieces of a JSON list."""
    size = 0
    separator = "[\n"
    for _id, text in services.conversations.export_all(page_actor(services), "json"):
        size += len(text)
        if size > _MOST_EXPORTED:
            raise ConflictError(
                _("Your conversations are too large for one file; nothing was downloaded."),
                _("Download them one by one, from the menu beside each."),
            )
        yield f"{separator}{text}"
        separator = ",\n"
    yield "\n]\n"
