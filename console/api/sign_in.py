"""Signing in and out: the routes behind the pages of `sign_in_page`, open to everybody.

A sign-in always gives a new session, and ends the one that the browser had: nobody can hand somebody else a session of
their own (session fixation). Forms of other sites are refused (login CSRF).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Protocol
from urllib.parse import parse_qsl, quote

import structlog
from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from console.api.context import ACTOR
from console.api.middleware import cookies
from console.api.middleware.cross_site import cookie_fault
from console.api.middleware.paths import OIDC_CALLBACK, OIDC_LINK, OIDC_START, SIGN_IN, SIGN_OUT
from console.api.problems import STATUS
from console.api.sign_in_page import (
    CODE_CHARACTERS,
    NAME_CHARACTERS,
    PASSWORD_CHARACTERS,
    DoorNotice,
    SignInForm,
    asset,
    link_page,
    message_page,
    sign_in_page,
    sign_out_page,
    signed_out_page,
)
from services.app.container import Platform
from services.core.actor import Actor
from services.core.errors import (
    BadInputError,
    BusyError,
    ForbiddenError,
    MillpondError,
    UnavailableError,
)
from services.core.i18n import _
from services.identity.identity import Identity
from services.identity.sign_in_errors import SecondFactorNeededError, SignInOverError
from services.identity.types import SignedIn

log = structlog.get_logger(__name__)

_AT_ONCE = 16  # threads that wait for a password's hash; the other requests have threads of their own
_FORM_BYTES = 16_384
_FORM_TYPE = "application/x-www-form-urlencoded"
_LONGEST_PLACE = 2000
_ASSET_HEADERS = {"Cache-Control": "public, max-age=3600"}


class IdentityProvider(Protocol):
    """An OpenID Connect provider that people sign in with. `label`: what its button says."""

    @property
    def label(self) -> str: ...

    async def begin(self, request: Request, place: str) -> Response:
        """Send the browser to the provider; afterwards it comes to `OIDC_CALLBACK`."""

    async def complete(self, request: Request) -> tuple[SignedIn | None, str]:
        """Return who came back from the provider (None: they linked their account), and where they want to go.

        Raises:
            MillpondError: the provider says no, is down, or somebody made this up.
        """

    def forgotten(self, request: Request) -> list[str]:
        """Return the headers that take away what `begin` left in the browser."""

    async def link_proof(self, request: Request) -> str:
        """Return what `begin` gets as `link` from somebody who is signed in and links their account."""

    async def sign_out_address(self, request: Request) -> str:
        """Return where the session at the provider is ended, "" for nowhere; asked before it ends here."""


class SignIn:
    """The routes. `platform` and `provider` return None while there is none."""

    def __init__(
        self,
        platform: Callable[[], Platform | None],
        provider: Callable[[], IdentityProvider | None] = lambda: None,
    ) -> None:
        self._platform = platform
        self._provider = provider
        self._limiter: CapacityLimiter | None = None

    def routes(self) -> list[BaseRoute]:
        """Return them."""
        return [
            Route(SIGN_IN, self._shown, methods=["GET"]),
            Route(SIGN_IN, self._sent, methods=["POST"]),
            Route(f"{SIGN_IN}/style.css", partial(_asset, "sign-in.css", "text/css"), methods=["GET"]),
            Route(f"{SIGN_IN}/icon.svg", partial(_asset, "icon.svg", "image/svg+xml"), methods=["GET"]),
            Route(OIDC_START, self._to_provider, methods=["GET"]),
            Route(OIDC_CALLBACK, self._from_provider, methods=["GET"]),
            Route(OIDC_LINK, self._link_shown, methods=["GET"]),
            Route(SIGN_OUT, self._sign_out_shown, methods=["GET"]),
            Route(SIGN_OUT, self._sign_out, methods=["POST"]),
        ]

    async def _shown(self, request: Request) -> Response:
        place = local_place(request.query_params.get("next", ""))
        if self._is_open() or _signed_in(request):
            return _redirect(place)
        notice = None
        if "signed-out" in request.query_params:
            notice = DoorNotice(_("You have signed out."), is_error=False)
        return self._page(request, SignInForm(place, notice=notice))

    async def _sent(self, request: Request) -> Response:
        if self._is_open():
            return _redirect("/")
        if cookie_fault(request.scope):
            log.warning("refused: a sign-in that no page of this console sent")
            return self._page(request, SignInForm(notice=_notice(_foreign())), status=403)
        if not cookies.cookie_name(request.scope):  # a session could not be kept: the password is not even looked at
            return self._page(request, SignInForm())
        try:
            fields = await _form(request)
        except BadInputError as error:
            return self._page(request, SignInForm(notice=_notice(error)), status=400)
        form = SignInForm(local_place(fields.get("next", "")), fields.get("name", ""))
        if step := fields.get("step", ""):
            return await self._with_code(request, form, step, fields.get("code", ""))
        return await self._with_password(request, form, fields.get("password", ""))

    async def _with_password(self, request: Request, form: SignInForm, password: str) -> Response:
        try:
            signed_in = await self._run(request, lambda identity: partial(identity.sign_in, form.name, password))
        except SecondFactorNeededError as needed:
            return self._page(request, SignInForm(form.place, step=needed.step))
        except MillpondError as error:
            shown = SignInForm(form.place, form.name, notice=_notice(error))
            return self._page(request, shown, status=_status(error), retry=_retry(error))
        return await self._enter(request, signed_in, form.place)

    async def _with_code(self, request: Request, form: SignInForm, step: str, code: str) -> Response:
        try:
            signed_in = await self._run(request, lambda identity: partial(identity.continue_sign_in, step, code))
        except MillpondError as error:
            again = "" if isinstance(error, SignInOverError) else step
            shown = SignInForm(form.place, step=again, notice=_notice(error))
            return self._page(request, shown, status=_status(error), retry=_retry(error))
        return await self._enter(request, signed_in, form.place)

    async def _run(self, request: Request, chosen: Callable[[Identity], partial[SignedIn]]) -> SignedIn:
        """Run a sign-in in a thread, with what the browser says of itself."""
        platform = self._platform()
        if platform is None:
            raise BusyError(_("Millpond is still starting."), _("Try again in a moment."))
        if self._limiter is None:
            self._limiter = CapacityLimiter(_AT_ONCE)
        call = partial(
            chosen(platform.identity),
            address=request.client.host if request.client else "",
            device=request.headers.get("user-agent", "")[:500],
            known_device=cookies.known_device(request.scope),
        )
        return await to_thread.run_sync(call, limiter=self._limiter)

    async def _enter(self, request: Request, signed_in: SignedIn, place: str) -> Response:
        """Give the browser its new session, and end the one it had."""
        before = request.scope.get(ACTOR)
        platform = self._platform()
        if isinstance(before, Actor) and platform is not None and _by_cookie(request):
            try:
                await to_thread.run_sync(platform.identity.sign_out, before.session_id)
            except MillpondError as error:  # the old session still counts
                return self._told(error, root="")
        response = _redirect(place)
        seconds = int(signed_in.expires - time.time())
        for cookie in cookies.session_cookies(request.scope, signed_in.token, seconds, signed_in.known_device):
            response.headers.append("Set-Cookie", cookie)
        return response

    async def _to_provider(self, request: Request) -> Response:
        provider = self._provider()
        if provider is None:
            return self._no_provider(root="../")
        try:
            return await provider.begin(request, local_place(request.query_params.get("next", "")))
        except MillpondError as error:
            return self._told(error, root="../")

    async def _from_provider(self, request: Request) -> Response:
        provider = self._provider()
        if provider is None:
            return self._no_provider(root="../../")
        try:
            signed_in, place = await provider.complete(request)
        except MillpondError as error:
            response = self._told(error, root="../../")
        else:
            place = local_place(place)
            response = _redirect(place) if signed_in is None else await self._enter(request, signed_in, place)
        for cookie in provider.forgotten(request):
            response.headers.append("Set-Cookie", cookie)
        return response

    async def _link_shown(self, request: Request) -> Response:
        """Ask whether the account and the one at the provider are the same person's; a link of another site does not
        do."""
        provider = self._provider()
        if provider is None:
            return self._no_provider(root="../../")
        if not _signed_in(request):
            return _redirect(SIGN_IN)
        try:
            proof = await provider.link_proof(request)
        except MillpondError as error:
            return self._told(error, root="../../")
        name = request.scope[ACTOR].name
        return link_page(name=name, label=provider.label, proof=proof)

    async def _sign_out_shown(self, request: Request) -> Response:
        if not _signed_in(request):
            return _redirect(SIGN_IN)
        return sign_out_page(name=request.scope[ACTOR].name)

    async def _sign_out(self, request: Request) -> Response:
        platform = self._platform()
        if cookie_fault(request.scope):
            return self._told(_foreign(), root="")
        address, provider = "", self._provider()
        if _signed_in(request) and platform is not None:
            if provider is not None:
                address = await provider.sign_out_address(request)
            try:
                await to_thread.run_sync(platform.identity.sign_out, request.scope[ACTOR].session_id)
            except MillpondError as error:  # they are still signed in, and told so
                return self._told(error, root="")
        if address:  # a page goes there: browsers apply its `form-action` to redirections of a form
            response: Response = signed_out_page(address)
        else:
            response = _redirect(f"{SIGN_IN}?signed-out")
        for cookie in cookies.drop_session(request.scope):
            response.headers.append("Set-Cookie", cookie)
        return response

    def _is_open(self) -> bool:
        platform = self._platform()
        return platform is not None and platform.identity.open_mode

    def _page(self, request: Request, form: SignInForm, *, status: int = 200, retry: int = 0) -> Response:
        if not cookies.cookie_name(request.scope):
            notice = DoorNotice(
                _("Signing in needs https: without it your password and your session could be read on the way."),
                _("Ask whoever runs this server for its https address."),
            )
            return message_page(_("Sign in"), notice, status=403)
        provider = self._provider()
        if provider is not None:
            form = SignInForm(form.place, form.name, form.step, provider.label, form.local, form.notice)
        response = sign_in_page(form, status=status, retry=retry)
        if status == 401:
            response.headers["WWW-Authenticate"] = 'Bearer realm="Millpond"'
        return response

    def _no_provider(self, root: str) -> Response:
        notice = DoorNotice(_("No identity provider is configured here."), _("Sign in with name and password."))
        return message_page(_("Sign in"), notice, status=404, root=root)

    def _told(self, error: MillpondError, root: str) -> Response:
        response = message_page(_("Sign in"), _notice(error), status=_status(error), root=root)
        if retry := _retry(error):
            response.headers["Retry-After"] = str(retry)
        return response


def local_place(text: str) -> str:
    """Return the path within the console that somebody wants to go to; its first page where it is none.

    No other host can be reached by it: browsers take `//` and `/\\` for the beginning of one, and drop tabs and line
    breaks before they look.
    """
    if not text.startswith("/") or len(text) > _LONGEST_PLACE or text[1:2] in {"/", "\\"}:
        return "/"
    if "\\" in text or not text.isprintable():
        return "/"
    path = text.partition("?")[0].partition("#")[0]
    if path in {SIGN_IN, SIGN_OUT} or path.startswith((f"{SIGN_IN}/", f"{SIGN_OUT}/")):
        return "/"
    return quote(text, safe="/%?=&:+,;@!$'()*~#-._[]")


def _redirect(place: str) -> Response:
    return RedirectResponse(place, status_code=303, headers={"Cache-Control": "no-store"})


def _signed_in(request: Request) -> bool:
    return isinstance(request.scope.get(ACTOR), Actor) and _by_cookie(request)


def _by_cookie(request: Request) -> bool:
    return "authorization" not in request.headers


async def _form(request: Request) -> dict[str, str]:
    """Return the fields of a form.

    Raises:
        BadInputError: it is none that a page of the door sends.
    """
    refused = BadInputError(_("This is not what the sign-in page sends."), _("Reload the page and try again."))
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM_TYPE:
        raise refused
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _FORM_BYTES:
            raise refused
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=10
        )
    except ValueError as error:
        raise refused from error
    fields = dict(pairs)
    longest = {"name": NAME_CHARACTERS, "password": PASSWORD_CHARACTERS, "code": CODE_CHARACTERS}
    if len(fields) != len(pairs) or any(len(fields.get(name, "")) > most for name, most in longest.items()):
        raise refused
    if "\0" in "".join(fields.values()):
        raise refused
    return fields


async def _asset(name: str, media_type: str, _request: Request) -> Response:
    return Response(asset(name), media_type=media_type, headers=_ASSET_HEADERS)


def _foreign() -> ForbiddenError:
    return ForbiddenError(
        _("Another site tried to sign you in or out here; nothing was changed."), _("Open the console itself.")
    )


def _notice(error: MillpondError) -> DoorNotice:
    return DoorNotice(error.message, error.hint)


def _status(error: MillpondError) -> int:
    return STATUS[error.kind]


def _retry(error: MillpondError) -> int:
    seconds = getattr(error, "seconds", 1.0 if isinstance(error, BusyError | UnavailableError) else 0.0)
    return max(1, round(seconds)) if seconds else 0
