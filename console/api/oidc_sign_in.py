"""Signing in with an OpenID Connect provider: its routes' part that belongs to HTTP, cookies and addresses."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from console.api.context import ACTOR
from console.api.middleware import cookies
from console.api.middleware.paths import OIDC_CALLBACK, SIGN_IN
from services.app.container import Platform
from services.core.actor import Actor
from services.core.errors import BadInputError, BusyError, ForbiddenError
from services.core.i18n import _
from services.core.settings import Settings
from services.identity.types import SignedIn

if TYPE_CHECKING:
    from services.identity.oidc.single_sign_on import SingleSignOn

Result = TypeVar("Result")

_AT_ONCE = 8  # threads that wait for the provider
_MOST_WAITING = 200
_LONGEST_ANSWER = 8000  # characters of the query of the way back


class OidcSignIn:
    """The provider of the settings, as `SignIn` uses it. Its code is loaded with the first who signs in by it."""

    def __init__(self, settings: Settings, platform: Callable[[], Platform | None]) -> None:
        from services.identity.oidc.oidc_rules import provider_label

        self.label = provider_label(settings)
        self._base_path = settings.base_path
        self._redirect_uri = settings.oidc_redirect_uri
        self._platform = platform
        self._lock = threading.Lock()
        self._single_sign_on: SingleSignOn | None = None
        self._limiter: CapacityLimiter | None = None

    async def begin(self, request: Request, place: str) -> Response:
        """Send the browser to the provider.

        Raises:
            ForbiddenError: without https there is no safe cookie; or another site wants to link an account.
            MillpondError: the provider does not answer.
        """
        if not cookies.cookie_name(request.scope):
            raise ForbiddenError(
                _("Signing in needs https: without it your password and your session could be read on the way."),
                _("Ask whoever runs this server for its https address."),
            )
        proof, link = request.query_params.get("link", ""), ""
        if proof:
            link = _session(request)
            if not (await self._face()).flows.proves_link(proof, link):
                raise ForbiddenError(
                    _("This did not come from a page of the console, or is too old; nothing was changed."),
                    _("Begin again on My account."),
                )
        face = await self._face()
        address = await self._in_thread(partial(face.begin, place, self._way_back(request), link))
        from services.identity.oidc.flow import SECONDS, cookie_suffix

        response = RedirectResponse(address.url, status_code=303, headers={"Cache-Control": "no-store"})
        response.headers.append(
            "Set-Cookie", cookies.flow_cookie(request.scope, cookie_suffix(address.state), address.flow, SECONDS)
        )
        return response

    async def complete(self, request: Request) -> tuple[SignedIn | None, str]:
        """Return who came back (None: they linked their account), and where they want to go; raises as its protocol
        says."""
        query = request.query_params.multi_items()
        answer = dict(query)
        if len(answer) != len(query) or len(request.url.query) > _LONGEST_ANSWER:
            raise BadInputError(_("This is not what an identity provider sends."), _("Start again."))
        from services.identity.oidc.flow import cookie_suffix
        from services.identity.oidc.single_sign_on import Visitor

        actor = request.scope.get(ACTOR)
        visitor = Visitor(
            address=request.client.host if request.client else "",
            device=request.headers.get("user-agent", "")[:500],
            known_device=cookies.known_device(request.scope),
            actor=actor if isinstance(actor, Actor) and "authorization" not in request.headers else None,
        )
        cookie = cookies.flow(request.scope, cookie_suffix(answer.get("state", "")))
        face = await self._face()
        return await self._in_thread(partial(face.complete, answer, cookie, visitor))

    def forgotten(self, request: Request) -> list[str]:
        """Return the headers that take away what `begin` left in the browser."""
        from services.identity.oidc.flow import cookie_suffix

        suffix = cookie_suffix(request.query_params.get("state", ""))
        return [cookies.flow_cookie(request.scope, suffix, "", 0)] if cookies.flow(request.scope, suffix) else []

    async def link_proof(self, request: Request) -> str:
        """Return what a page of the console sends with the wish to link the account of whoever asks."""
        return (await self._face()).flows.link_proof(_session(request))

    async def sign_out_address(self, request: Request) -> str:
        """Return where the session at the provider is ended, "" for nowhere; asked before it ends here."""
        back = self._way_back(request).removesuffix(OIDC_CALLBACK) + f"{SIGN_IN}?signed-out"
        face = await self._face()
        return await self._in_thread(partial(face.sign_out_address, _session(request), back))

    def _way_back(self, request: Request) -> str:
        """Return the address of `OIDC_CALLBACK` as the browser knows this console.

        `HostGuard` refuses requests under names that are not this console's, `Forwarded` believes named proxies alone.
        """
        if self._redirect_uri:
            return self._redirect_uri
        scheme = "https" if cookies.is_https(request.scope) else "http"
        return f"{scheme}://{request.headers.get('host', '')}{self._base_path}{OIDC_CALLBACK}"

    async def _face(self) -> SingleSignOn:
        if self._single_sign_on is None:
            platform = self._platform()
            if platform is None:
                raise BusyError(_("Millpond is still starting."), _("Try again in a moment."))
            self._single_sign_on = await to_thread.run_sync(self._built, platform)
        return self._single_sign_on

    def _built(self, platform: Platform) -> SingleSignOn:
        from services.identity.oidc.oidc_rules import OidcRules
        from services.identity.oidc.single_sign_on import SingleSignOn

        with self._lock:
            return self._single_sign_on or SingleSignOn(
                OidcRules.of(platform.settings), platform.identity, platform.clock.time
            )

    async def _in_thread(self, call: Callable[[], Result]) -> Result:
        if self._limiter is None:
            self._limiter = CapacityLimiter(_AT_ONCE)
        if self._limiter.statistics().tasks_waiting >= _MOST_WAITING:
            raise BusyError(_("Too many people sign in at this moment."), _("Try again in a few seconds."))
        return await to_thread.run_sync(call, limiter=self._limiter)


def _session(request: Request) -> str:
    """Return the session of whoever asks by its cookie, "" for nobody's."""
    actor = request.scope.get(ACTOR)
    return actor.session_id if isinstance(actor, Actor) and "authorization" not in request.headers else ""
