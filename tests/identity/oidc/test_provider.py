"""What is asked of a provider, and what is done when it fails; settings; sign-ins under way."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from services.core.actor import Role
from services.core.oidc_settings import role_by_group
from services.core.settings import Settings
from services.identity.oidc import provider_requests
from services.identity.oidc.flow import SECONDS, Flows
from services.identity.oidc.oidc_rules import OidcRules, ProviderRefusalError, provider_label
from services.identity.oidc.provided_accounts import provided_groups
from services.identity.oidc.provider import KEPT_SECONDS, OidcProvider
from services.identity.oidc.provider_requests import RETRY_SECONDS, ProviderDownError
from tests.identity.oidc.provider import Provider, needs_provider, providing

DISCOVERY = "/.well-known/openid-configuration"
FAILURES = (
    "html",
    "broken",
    "list",
    "empty",
    "nothing",
    "down",
    "redirect",
    "deep",
    "packed",
    "huge",
    "cut",
    "lying",
    "unsafe",
)


class Watch:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with providing(tmp_path_factory.mktemp("provider"), {}) as provider:
        yield provider


def asked(provider: Provider, watch: Watch) -> OidcProvider:
    """Return what asks the provider, with nothing kept yet."""
    settings = Settings(oidc_issuer=provider.url, oidc_client_id="millpond")
    return OidcProvider(OidcRules.of(settings), watch)


@needs_provider
@pytest.mark.parametrize("kind", FAILURES)
def test_a_provider_that_cannot_be_had_is_left_alone_for_a_while(real: Provider, kind: str) -> None:
    """Each who signs in would wait for it, it would be asked without end, or what it made up be believed."""
    watch = Watch()
    found = asked(real, watch)
    real.set(fail={DISCOVERY: kind})
    before = real.requests(DISCOVERY)
    for _each in range(3):
        with pytest.raises(ProviderDownError):
            found.metadata()
    assert real.requests(DISCOVERY) == before + 1
    real.set(fail={})
    watch.now += RETRY_SECONDS
    assert found.metadata().token == f"{real.url}/token"
    real.set(fail={DISCOVERY: kind})
    assert found.metadata().issuer_in_answer  # kept
    real.set(fail={})


@needs_provider
@pytest.mark.parametrize("kind", ["slow", "drip"])
def test_a_slow_provider_is_not_waited_for(real: Provider, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that never answers, or a byte at a time, would hold threads for ever."""
    monkeypatch.setattr(provider_requests, "STEP_SECONDS", 0.3)
    monkeypatch.setattr(provider_requests, "SECONDS", 0.6)
    real.set(fail={DISCOVERY: kind})
    began = time.monotonic()
    with pytest.raises(ProviderDownError):
        asked(real, Watch()).metadata()
    assert time.monotonic() - began < 20
    real.set(fail={})


@needs_provider
def test_keys_are_kept_and_symmetric_ones_left_out(real: Provider) -> None:
    """A withdrawn key would count for ever, or one that everybody can read be taken for a secret."""
    watch = Watch()
    found = asked(real, watch)
    assert [key["kty"] for key in found.keys("key-1")] == ["RSA"]
    real.rotate()
    assert found.keys("key-1")  # still kept
    watch.now += KEPT_SECONDS
    assert found.keys("key-1") == []
    assert found.keys("key-2")
    real.set(fail={"/jwks": "symmetric"})
    watch.now += KEPT_SECONDS
    assert found.keys("") == []
    real.set(fail={})


def test_nobody_listens() -> None:
    """Fails if a provider that is not there is a defect."""
    settings = Settings(oidc_issuer="http://127.0.0.1:9", oidc_client_id="millpond")
    with pytest.raises(ProviderDownError):
        OidcProvider(OidcRules.of(settings)).metadata()


def test_metadata_services_are_not_asked() -> None:
    """The issuer's address could make the server ask what only it can reach."""
    settings = Settings(oidc_issuer="https://169.254.169.254", oidc_client_id="millpond")
    with pytest.raises(ProviderDownError):
        OidcProvider(OidcRules.of(settings)).metadata()


@pytest.mark.parametrize(
    "wrong",
    [
        {"oidc_issuer": "http://id.example.org"},
        {"oidc_issuer": "https://"},
        {"oidc_issuer": "https://id.example.org?x=1"},
        {"oidc_issuer": "https://user@id.example.org"},
        {"oidc_issuer": "https://id.example.org", "oidc_client_id": ""},
        {"oidc_roles": "admins"},
        {"oidc_roles": "admins=king"},
        {"oidc_roles": "=admin"},
        {"oidc_redirect_uri": "javascript:alert(1)"},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, str]) -> None:
    """Sign-ins could be read on the way, or everybody be an administrator by a typing error."""
    with pytest.raises(ValidationError):
        Settings(**({"oidc_client_id": "millpond"} | wrong))  # type: ignore[arg-type] # all are texts


def test_roles_and_groups_by_the_settings() -> None:
    """Fails if somebody gets another role than the highest of their groups."""
    rules = OidcRules.of(
        Settings(
            oidc_issuer="https://id.example.org",
            oidc_client_id="millpond",
            oidc_roles="a=admin, o=operator,u=auditor, x=y=user",
            oidc_groups="mill-, kiln",
        )
    )
    assert rules.role(frozenset({"o", "u"})) is Role.OPERATOR
    assert rules.role(frozenset({"u", "a"})) is Role.ADMIN
    assert rules.role(frozenset({"nothing"})) is Role.USER
    assert [rules.is_provided(name) for name in ("mill-a", "kiln", "mill", "other")] == [True, True, False, False]
    assert role_by_group("x=y=user") == {"x=y": Role.USER}
    assert provider_label(Settings(oidc_issuer="https://id.example.org", oidc_client_id="m")) == (
        "Sign in with id.example.org"
    )


def test_groups_of_other_providers() -> None:
    """Fails if Keycloak's paths, nested claims or a list that was left out are read wrongly."""
    assert provided_groups({"groups": ["/a", "b/c", 1, "", None]}, "groups") == {"a", "b/c"}
    assert provided_groups({"realm_access": {"roles": ["a"]}}, "realm_access.roles") == {"a"}
    assert provided_groups({"https://x.example/groups": "a"}, "https://x.example/groups") == {"a"}
    assert provided_groups({"groups": {"a": True}}, "groups") == set()
    assert provided_groups({}, "groups") == set()
    for too_many in ({"_claim_names": {"groups": "src1"}}, {"groups": ["g"] * 501}):
        with pytest.raises(ProviderRefusalError):
            provided_groups(too_many, "groups")


def test_a_sign_in_under_way_ends_by_time() -> None:
    """Somebody who finds an old cookie and link could still be signed in; or one of another process."""
    watch = Watch()
    flows = Flows(watch)
    flow, other = flows.begin("/documents", "https://x/back"), flows.begin("/documents", "https://x/back")
    cookie = flows.sealed(flow)
    assert flows.opened(cookie, other.state) is None
    assert Flows(watch).opened(cookie, flow.state) is None
    watch.now += SECONDS - 1
    assert flows.opened(cookie, flow.state) == flow
    assert flows.opened(cookie, flow.state) is None
    watch.now += 1
    assert flows.opened(flows.sealed(other), other.state) is None
    assert len({flow.state, flow.nonce, flow.verifier, flow.challenge, flow.secret}) == 5
