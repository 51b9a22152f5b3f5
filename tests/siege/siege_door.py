"""Every payload against the door of a running server with accounts and a provider; nothing passes, and who is right
still signs in."""

from __future__ import annotations

import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from tests.clients import provide_clients
from tests.identity.oidc.provider import Provider, providing
from tests.siege.door_callbacks import callback_payloads
from tests.siege.door_credentials import credential_payloads, mcp_payloads
from tests.siege.door_payloads import fault, payloads, source
from tests.siege.report import Report
from tests.team import PASSWORD, Team, serving_team

LEAST = 300


def run(report: Report) -> None:
    """Send them all; without the provider installed, those within a begun sign-in are left out."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        provider: Provider | None = None
        if provide_clients.is_installed("oidc"):
            provider = running.enter_context(providing(Path(folder) / "provider", {}))
        settings = provider.settings() if provider else {}
        team = running.enter_context(serving_team(Path(folder) / "data", **settings))
        if provider:
            provider.know(team.server.url)
        _attack(report, team, provider.url if provider else "")


def _attack(report: Report, team: Team, issuer: str) -> None:
    url = team.server.url
    faults: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    sets = [payloads(url), credential_payloads(url, team["ada"]), mcp_payloads(url, team["ada"])]
    sets += [callback_payloads(url, issuer)] if issuer else []
    for number, payload in enumerate(each for listed in sets for each in listed):
        kinds[payload.what] += 1
        if found := fault(url, payload, source(number), issuer):
            faults[f"{payload.what}: {payload.method} {payload.path[:60]}: {found}"] += 1
    for what, times in faults.most_common(20):
        print(f"{times:4} {what}", flush=True)
    for what, times in sorted(kinds.items()):
        print(f"{times:4} {what}", flush=True)
    report("payloads that passed or broke something", faults.total(), 0, "payloads", f"of {kinds.total()}")
    report("payloads too few", max(0, LEAST - kinds.total()), 0, "payloads")
    log = team.server.log.read_text()
    report("defects in the log", log.count('"event": "defect"') + log.count("Traceback (most"), 0, "defects")
    with team.browser() as client:
        wrong = client.post("/sign-in", data={"name": "uma", "password": PASSWORD}).status_code != 303
        report("the right password is refused", int(wrong), 0, "")
    with team.browser("ada") as client:
        report("a session that no payload may end", int(client.get("/api/account").status_code != 200), 0, "ended")
