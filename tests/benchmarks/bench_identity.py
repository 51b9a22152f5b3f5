"""What accounts cost: the directory in memory, a server with accounts beside one without, many sign-ins."""

from __future__ import annotations

import gc
import itertools
import random
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil

from services.app.tables import import_tables
from services.core.actor import AccessLevel, Role
from services.core.database import Database
from services.identity.directory import Directory
from services.identity.store.grants import GrantStore
from services.identity.store.identity_tables import grants, groups, memberships, people
from services.identity.store.people import PeopleStore
from tests.benchmarks.server import ROOT, Server, percentile, serve, text_files
from tests.benchmarks.table import Row
from tests.identity.oidc.provider import providing, visiting
from tests.servers import serving

PEOPLE, GROUPS, GRANTS, COLLECTIONS, GROUPS_EACH = 10_000, 1000, 100_000, 5000, 3
PASSWORD = "violet tractor under seven moons"
SIGN_INS_A_SECOND = 20
MEASURED_SECONDS = 15.0
QUESTIONS = 150


def run() -> list[Row]:
    return [*_directory(), *_servers(), *_provider()]


def _directory() -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        import_tables()
        database = Database(f"sqlite:///{Path(name) / 'millpond.db'}")
        database.create_tables()
        _fill(database)
        process = psutil.Process()
        Directory(PeopleStore(database), GrantStore(database))  # what SQLAlchemy keeps for these statements
        gc.collect()
        before, began = process.memory_info().rss, time.perf_counter()
        directory = Directory(PeopleStore(database), GrantStore(database))
        seconds = time.perf_counter() - began
        gc.collect()
        grown = process.memory_info().rss - before
        reported = directory.memory_report().bytes
        chance = random.Random(3)
        asked = [chance.randint(2, PEOPLE) for _each in range(900)]
        began = time.perf_counter()
        for person in asked:
            directory.rights(person)
        first = (time.perf_counter() - began) / len(asked)
        began = time.perf_counter()
        for person in asked:
            directory.rights(person)
        again = (time.perf_counter() - began) / len(asked)
        store = GrantStore(database)
        changes = []
        for person in asked[:50]:
            store.set_grant([1], person, AccessLevel.READ)
            began = time.perf_counter()
            directory.reload_grants([person])
            changes.append(time.perf_counter() - began)
        database.close()
    sizes = f"{PEOPLE:,} people, {GROUPS:,} groups, {GRANTS:,} grants"
    detail = f"{sizes}, RSS {grown / 1e6:+.1f} MB; rights of a person {first * 1e6:.0f} us, again {again * 1e6:.1f} us"
    return [
        Row("directory in memory, MB", reported / 1e6, 10, at_least=False, detail=detail),
        Row("directory read anew, s", seconds, 2, at_least=False, detail=sizes),
        Row("a changed grant counts after, s", percentile(changes, 0.95), 0.05, at_least=False, detail="p95 of 50"),
    ]


def _fill(database: Database) -> None:
    chance = random.Random(12)
    with database.write() as connection:
        connection.execute(
            people.insert(),
            [
                {
                    "name": f"Person {number}",
                    "name_key": f"person {number}",
                    "display_name": "",
                    "role": Role.ADMIN if number == 1 else Role.USER,
                    "created_at": 0.0,
                }
                for number in range(1, PEOPLE + 1)
            ],
        )
        connection.execute(
            groups.insert(), [{"name": f"Group {n}", "name_key": f"group {n}"} for n in range(1, GROUPS + 1)]
        )
        members = {
            (group, person)
            for person in range(1, PEOPLE + 1)
            for group in chance.sample(range(1, GROUPS + 1), GROUPS_EACH)
        }
        connection.execute(
            memberships.insert(), [{"group_id": group, "person_id": person} for group, person in sorted(members)]
        )
        found: dict[tuple[int, int], int] = {}
        while len(found) < GRANTS:
            grantee = chance.choice([0, -chance.randint(1, GROUPS), *[chance.randint(1, PEOPLE) for _each in range(8)]])
            found[chance.randint(1, COLLECTIONS), grantee] = chance.randint(1, 3)
        connection.execute(
            grants.insert(),
            [{"collection_id": at, "grantee": who, "level": level} for (at, who), level in sorted(found.items())],
        )


def _servers() -> list[Row]:
    with ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _each in range(2)]
        _millpond(folders[1], "users", "add", "root", "--password-stdin", text=f"{PASSWORD}\n")
        token = _millpond(folders[1], "tokens", "create", "root", "--scope", "write", "--scope", "operate").split()[-1]
        without, with_accounts = (stack.enter_context(serve(folder)) for folder in folders)
        with_accounts.client.headers["Authorization"] = f"Bearer {token}"
        ready = with_accounts.rss() / 1e6, without.rss() / 1e6
        for server in (without, with_accounts):
            server.upload(text_files(60, 20, 5))
            server.wait_idle()
        times: tuple[list[float], list[float]] = ([], [])
        pairs = list(zip((with_accounts, without), times, strict=True))
        for number in range(2 * QUESTIONS):  # in turn: what else the machine does concerns both
            if number == QUESTIONS:  # the work after an upload has ended on both
                for _server, found in pairs:
                    found.clear()
            for server, found in pairs if number % 2 else reversed(pairs):  # the second finds a warmer machine
                found.append(server.search_ms(f"when was number {number} built"))
        ratio = percentile(times[0], 0.5) / percentile(times[1], 0.5)
        idle = _neighbour(with_accounts)
        stop = threading.Event()
        counted: list[float] = []
        thread = threading.Thread(target=_sign_in_again_and_again, args=(with_accounts, stop, counted))
        thread.start()
        under = _neighbour(with_accounts)
        stop.set()
        thread.join()
        after = with_accounts.rss() / 1e6
    p95 = percentile(under, 0.95) / percentile(idle, 0.95)
    return [
        Row(
            "RSS when ready with accounts less without, MB",
            ready[0] - ready[1],
            15,
            at_least=False,
            detail=f"{ready[0]:.0f} and {ready[1]:.0f} MB; after sign-ins {after:.0f} MB",
        ),
        Row(
            "search p50 with accounts over without",
            ratio,
            1.03,
            at_least=False,
            detail=f"{percentile(times[0], 0.5):.1f} over {percentile(times[1], 0.5):.1f} ms, {QUESTIONS} in turn",
        ),
        Row(
            f"neighbours' p95 under {SIGN_INS_A_SECOND} sign-ins a second over idle",
            p95,
            1.5,
            at_least=False,
            detail=(
                f"{percentile(under, 0.95):.1f} over {percentile(idle, 0.95):.1f} ms; "
                f"{len(counted) / MEASURED_SECONDS:.1f} sign-ins a second, p50 {percentile(counted, 0.5):.0f} ms"
            ),
        ),
    ]


def _provider() -> list[Row]:
    """Measure what an identity provider costs where there is one: when ready, and once people came from it."""
    people = {f"subject-{number}": {"preferred_username": f"person{number}", "name": "A Person"} for number in range(5)}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        provider = stack.enter_context(providing(folder / "provider", people))
        without = stack.enter_context(serving(folder / "without"))
        console = stack.enter_context(serving(folder / "with", **provider.settings()))
        provider.know(console.url)
        rss = [psutil.Process(server.process.pid) for server in (console, without)]
        ready = [each.memory_info().rss / 1e6 for each in rss]
        for subject in people:
            with visiting(console, provider) as visit:
                assert visit.sign_in(subject).status_code == 303
        after = [each.memory_info().rss / 1e6 for each in rss]
    return [
        Row(
            "RSS after sign-ins by OIDC less without a provider, MB",
            after[0] - after[1],
            35,
            at_least=False,
            detail=f"{after[0]:.0f} and {after[1]:.0f} MB after {len(people)}; ready {ready[0]:.0f} and {ready[1]:.0f}",
        )
    ]


def _neighbour(server: Server) -> list[float]:
    """Search twice a second, as somebody does who reads the answers."""
    found = []
    ends = time.monotonic() + MEASURED_SECONDS
    for number in itertools.count():
        if time.monotonic() >= ends:
            return found
        found.append(server.search_ms(f"where is the bridge {number}"))
        time.sleep(0.2)
    return found


def _sign_in_again_and_again(server: Server, stop: threading.Event, counted: list[float]) -> None:
    """Sign in at that rate, each in a thread of its own, whatever the others do.

    One transport for all: a client of its own reads the certificate authorities, half a core of the same machine.
    """
    url = str(server.client.base_url).rstrip("/")
    transport = httpx.HTTPTransport(verify=False)  # plain HTTP on the loopback

    def sign_in() -> None:
        began = time.perf_counter()
        form = httpx.Request(
            "POST", f"{url}/sign-in", data={"name": "root", "password": PASSWORD}, headers={"Origin": url}
        )
        answer = transport.handle_request(form)
        answer.read()
        answer.close()
        if answer.status_code == 303:
            counted.append((time.perf_counter() - began) * 1000)

    threads = []
    due = time.monotonic()
    while not stop.is_set():
        thread = threading.Thread(target=sign_in)
        thread.start()
        threads.append(thread)
        due += 1 / SIGN_INS_A_SECOND
        time.sleep(max(0.0, due - time.monotonic()))
    for thread in threads:
        thread.join()
    transport.close()


def _millpond(data_dir: Path, *arguments: str, text: str = "") -> str:
    return subprocess.run(
        [sys.executable, "-m", "console", *arguments, "--data-dir", str(data_dir)],
        cwd=ROOT,
        input=text,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
