"""The pages of the door: signing in, the code of a second factor, signing out. Plain HTML; nothing needs a script.

They look like the console: `assets/sign-in.css` has the colours of `.streamlit/config.toml`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from urllib.parse import quote

from starlette.responses import HTMLResponse

from services.core.i18n import _, language
from services.core.languages import language_tag

ASSETS = Path(__file__).resolve().parents[1] / "assets"
NAME_CHARACTERS = 200
PASSWORD_CHARACTERS = 1024
CODE_CHARACTERS = 64
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "style-src 'self'",
            "img-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    ),
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class DoorNotice:
    """What is told above the form: what happened, and what to do."""

    message: str
    hint: str = ""
    is_error: bool = True


@dataclass(frozen=True, slots=True)
class SignInForm:
    """What the sign-in page shows.

    Attributes:
        place: where to go afterwards.
        name: as it was typed before.
        step: proves that name and password were right, so that only a code is asked for; "" before.
        provider: what the button of the identity provider says, "" for none.
        local: whether there are accounts with passwords.
        notice: told above the form.
    """

    place: str = "/"
    name: str = ""
    step: str = ""
    provider: str = ""
    local: bool = True
    notice: DoorNotice | None = None


def sign_in_page(form: SignInForm, *, status: int = 200, retry: int = 0) -> HTMLResponse:
    """Return the sign-in page, or the page for the code; `retry`: seconds until another attempt, 0 for none."""
    parts = [_notice(form.notice)]
    if form.step:
        parts.append(_code_form(form))
    else:
        if form.local:
            parts.append(_password_form(form))
        if form.provider:
            parts.append(_provider_link(form))
    return _page(_("Sign in"), "".join(parts), status=status, retry=retry)


def sign_out_page(*, name: str) -> HTMLResponse:
    """Return the page that asks whether to sign out."""
    told = _("You are signed in as {name}.").format(name=name)
    body = f'<p>{escape(told)}</p><form method="post" action="sign-out">{_button(_("Sign out"))}</form>'
    return _page(_("Sign out"), body)


def signed_out_page(address: str) -> HTMLResponse:
    """Return the page that goes on to `address`, where the session at the provider ends, too."""
    told = _("You have signed out here; your session at the identity provider ends now.")
    body = f'<p>{escape(told)}</p><p><a class="button" href="{escape(address)}">{escape(_("Continue"))}</a></p>'
    return _page(_("Sign out"), body, then=address)


def link_page(*, name: str, label: str, proof: str) -> HTMLResponse:
    """Return the page that asks whether an account and one at the provider are the same person's."""
    told = _("Link your account {name} with the identity provider: from then on either signs you in here.")
    address = f"../../sign-in/oidc?next=%2Faccount&link={quote(proof, safe='')}"
    body = (
        f"<p>{escape(told.format(name=name))}</p>"
        f'<p><a class="button" href="{escape(address)}">{escape(label)}</a></p>'
        f'<p class="quiet"><a href="../../account">{escape(_("Cancel"))}</a></p>'
    )
    return _page(_("Link accounts"), body, root="../../")


def message_page(title: str, notice: DoorNotice, *, status: int, root: str = "") -> HTMLResponse:
    """Return a page that only tells something; `root`: the way from its address to the console's own path."""
    again = f'<p class="quiet"><a href="{root}sign-in">{escape(_("Sign in"))}</a></p>'
    return _page(title, _notice(notice) + again, status=status, root=root)


@cache
def asset(name: str) -> bytes:
    """Return a file of the console's look."""
    return (ASSETS / name).read_bytes()


def _password_form(form: SignInForm) -> str:
    focused = "password" if form.name else "name"
    return (
        '<form method="post" action="sign-in">'
        + _field("name", _("Name"), "text", "username", NAME_CHARACTERS, value=form.name, focus=focused == "name")
        + _field(
            "password",
            _("Password"),
            "password",
            "current-password",
            PASSWORD_CHARACTERS,
            focus=focused == "password",
        )
        + _hidden("next", form.place)
        + _button(_("Sign in"))
        + "</form>"
    )


def _code_form(form: SignInForm) -> str:
    hint = _("Enter the code that your authenticator shows, or one of your recovery codes.")
    again = f'<p class="quiet"><a href="sign-in?next={quote(form.place, safe="")}">{escape(_("Start again"))}</a></p>'
    return (
        f'<p>{escape(hint)}</p><form method="post" action="sign-in">'
        + _field("code", _("Verification code"), "text", "one-time-code", CODE_CHARACTERS, focus=True)
        + _hidden("step", form.step)
        + _hidden("next", form.place)
        + _button(_("Continue"))
        + "</form>"
        + again
    )


def _provider_link(form: SignInForm) -> str:
    address = f"sign-in/oidc?next={quote(form.place, safe='')}"
    return f'<p><a class="button" href="{escape(address)}">{escape(form.provider)}</a></p>'


def _field(  # noqa: PLR0917 - the attributes of one element
    name: str, label: str, kind: str, autocomplete: str, longest: int, value: str = "", *, focus: bool = False
) -> str:
    attributes = f'id="{name}" name="{name}" type="{kind}" autocomplete="{autocomplete}" maxlength="{longest}"'
    shown = f' value="{escape(value)}"' if value else ""
    plain = ' autocapitalize="none" autocorrect="off" spellcheck="false"'
    return (
        f'<label for="{name}">{escape(label)}</label>'
        f"<input {attributes}{plain}{shown} required{' autofocus' if focus else ''}>"
    )


def _hidden(name: str, value: str) -> str:
    return f'<input type="hidden" name="{name}" value="{escape(value)}">'


def _button(label: str) -> str:
    return f'<button type="submit">{escape(label)}</button>'


def _notice(notice: DoorNotice | None) -> str:
    if notice is None:
        return ""
    hint = f" {escape(notice.hint)}" if notice.hint else ""
    kind = 'error" role="alert' if notice.is_error else 'note" role="status'
    return f'<p class="{kind}"><strong>{escape(notice.message)}</strong>{hint}</p>'


def _page(
    title: str,
    body: str,
    *,
    status: int = 200,
    retry: int = 0,
    root: str = "",
    then: str = "",
) -> HTMLResponse:
    """Return a page; `then`: where the browser goes on to by itself."""
    onward = f'<meta http-equiv="refresh" content="0; url={escape(then)}">' if then else ""
    html = (
        f'<!doctype html><html lang="{language_tag(language())}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="robots" content="noindex">'
        f"{onward}"
        f"<title>{escape(title)} · Millpond</title>"
        f'<link rel="icon" href="{root}sign-in/icon.svg"><link rel="stylesheet" href="{root}sign-in/style.css"></head>'
        f'<body><main><div class="brand">{asset("wordmark.svg").decode()}</div><h1>{escape(title)}</h1>{body}</main>'
        "</body></html>"
    )
    headers = _HEADERS | ({"Retry-After": str(retry)} if retry else {})
    return HTMLResponse(html, status_code=status, headers=headers)
