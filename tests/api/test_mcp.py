"""The Model Context Protocol at /mcp: its own client against a running server, in both forms of the protocol."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import anyio
import httpx
import pytest
from mcp.shared.exceptions import MCPError

from services.app.build_identity import offline_identity
from services.core.settings import Settings
from services.identity.types import SignInWay
from tests.chat.model_server import ModelServer, model_server
from tests.mcp_client import connected, text_of
from tests.servers import ROOT, Server, eventually, serving
from tests.team import Team, make_people

HEADERS = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
MODERN = {**HEADERS, "MCP-Protocol-Version": "2026-07-28"}
EXPIRING_SECONDS = 0.001
BASE_PATH = "/docs-of-ours"
SECRET = "zephyrine"
TEXTS = {
    "mill.txt": "The mill at the pond was built in 1742 by Jonas Weber. It has two wheels.",
    "水厂.txt": "水厂位于青河东岸。水厂于1986年建成。水厂每天供水三万吨。",
}
BOTH = pytest.mark.parametrize("mode", ["auto", "legacy"])


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """A server with accounts; uma has a document of her own beside those for everyone, ada an expired token."""
    folder = tmp_path_factory.mktemp("mcp") / "data"
    members = make_people(folder)
    with offline_identity(Settings(data_dir=folder)) as identity:
        ada = members["ada"].id
        signed_in = identity.open_session(ada, way=SignInWay.PASSWORD, address="127.0.0.1", device="")
        days = EXPIRING_SECONDS / 86_400
        members["ada"].tokens["expired"] = identity.tokens.create(signed_in.actor, ada, "short", ["ask"], days).token
    with serving(folder, new_collection_access="none") as server:
        team = Team(server, members)
        with team.program("ada", "write") as client:
            for name, text in TEXTS.items():
                add(client, name, text)
        with team.program("uma", "write") as client:
            collection = client.post("/api/collections", json={"name": "Mine"}).json()["id"]
            add(client, f"{SECRET}.txt", f"The {SECRET} costs 48000 euros. " * 100, collection)
        yield team


def add(client: httpx.Client, name: str, text: str, collection: int | None = None) -> int:
    """Add a document and wait until it is found."""
    params = {} if collection is None else {"collection": collection}
    answer = client.post("/api/documents", params=params, files={"file": (name, text.encode())})
    assert answer.status_code == 202, answer.text
    number = int(answer.json()["documents"][0]["id"])
    eventually(lambda: client.get(f"/api/documents/{number}").json()["status"] == "ready", what=name)
    return number


@BOTH
async def test_tools_in_english_and_chinese(team: Team, mode: str) -> None:
    """Each tool answers from the documents, as text and for programs, with the document that it is from."""
    async with connected(team.server.url, team["ada"].tokens["ask"], mode) as client:
        tools = {each.name: each for each in (await client.list_tools()).tools}
        assert set(tools) == {"search", "ask", "list_documents", "read_document"}
        assert all(each.output_schema and "knowledge base" in (each.description or "") for each in tools.values())
        for question, fact, name in (
            ("When was the mill built?", "1742", "mill.txt"),
            ("水厂是哪一年建成的?", "1986", "水厂.txt"),
        ):
            found = await client.call_tool("search", {"query": question, "limit": 3})
            assert fact in text_of(found), found
            assert found.structured_content["passages"][0]["document"] == name
            told: list[str] = []

            async def progress(_done: float, _total: float | None, message: str | None, told: list[str] = told) -> None:
                told.append(message or "")

            answer = await client.call_tool("ask", {"question": question}, progress_callback=progress)
            assert not answer.is_error, answer
            assert fact in answer.structured_content["answer"]
            assert name in {each["document"] for each in answer.structured_content["sources"]}
            assert f"[1] {name}" in text_of(answer)
            assert told
            links = [each for each in answer.content if each.type == "resource_link"]
            assert name in {each.name for each in links}
            read = await client.read_resource(links[0].uri)
            assert fact in read.contents[0].text
            listed = await client.call_tool("list_documents", {"name": name})
            number = listed.structured_content["documents"][0]["id"]
            assert listed.structured_content["total"] == 1
            whole = await client.call_tool("read_document", {"document_id": number})
            assert whole.structured_content["text"].strip() == TEXTS[name]


async def test_long_document_is_read_in_parts(team: Team) -> None:
    """The parts put together are the whole, and each ends where the next begins."""
    async with connected(team.server.url, team["uma"].tokens["read"]) as client:
        listed = await client.call_tool("list_documents", {"name": SECRET})
        number = listed.structured_content["documents"][0]["id"]
        whole = (await client.call_tool("read_document", {"document_id": number})).structured_content
        parts, offset = [], 0
        while offset is not None:
            arguments = {"document_id": number, "offset": offset, "limit": 999}
            part = (await client.call_tool("read_document", arguments)).structured_content
            parts.append(part["text"])
            offset = part["next_offset"]
        assert len(parts) > 2
        assert "".join(parts) == whole["text"]
        assert len(whole["text"]) == whole["total_characters"]


async def test_nobody_sees_what_another_person_has(team: Team) -> None:
    """A document that may not be read is told like one that does not exist."""
    async with connected(team.server.url, team["uma"].tokens["ask"]) as client:
        listed = await client.call_tool("list_documents", {"name": SECRET})
        found = listed.structured_content["documents"][0]
        assert "48000" in text_of(await client.call_tool("search", {"query": f"What does the {SECRET} cost?"}))
    async with connected(team.server.url, team["aud"].tokens["ask"]) as client:
        assert (await client.call_tool("list_documents", {"name": SECRET})).structured_content["total"] == 0
        for tool, arguments in (("search", {"query": "What costs 48000?"}), ("ask", {"question": "What costs 48000?"})):
            assert SECRET not in (await client.call_tool(tool, arguments)).model_dump_json()
        here, nowhere = [
            await client.call_tool("read_document", {"document_id": number}) for number in (found["id"], 2**40)
        ]
        assert here.is_error
        assert text_of(here) == text_of(nowhere)
        inside, without = [
            await client.call_tool("search", {"query": "cost", "collections": [number]})
            for number in (found["collection_id"], 2**40)
        ]
        assert inside.is_error
        assert text_of(inside).replace(str(found["collection_id"]), str(2**40)) == text_of(without)
        with pytest.raises(MCPError):
            await client.read_resource(f"millpond://documents/{found['id']}")


async def test_scope_of_a_token_limits_the_tools(team: Team) -> None:
    """With the scope read there is no tool to ask, and calling it says why."""
    async with connected(team.server.url, team["ada"].tokens["read"]) as client:
        assert "ask" not in {each.name for each in (await client.list_tools()).tools}
        refused = await client.call_tool("ask", {"question": "When was the mill built?"})
        assert refused.is_error
        assert "API token" in text_of(refused)
        assert "1742" not in text_of(refused)


def test_without_a_valid_token_nothing_is_answered(team: Team) -> None:
    """Missing, wrong and expired tokens get 401, a browser's session as well."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    for headers in (
        {},
        {"Authorization": "Bearer mp_wrong"},
        {"Authorization": f"Bearer {team['ada'].tokens['expired']}"},
        {"Cookie": team["ada"].cookie, "Origin": team.server.url, "Sec-Fetch-Site": "same-origin"},
    ):
        with team.client(**HEADERS, **headers) as client:
            answer = client.post("/mcp", json=body)
        assert answer.status_code == 401, (headers, answer.text)
        assert answer.headers["www-authenticate"].startswith("Bearer")


NESTED = "[" * 3000 + "]" * 3000
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "x", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
VALUES: list[object] = [
    None,
    True,
    -1,
    0,
    2**63,
    1e308,
    1.5,
    "",
    "\x00",
    "x" * 100_000,
    "'; DROP TABLE documents; --",
    "../../etc/passwd",
    "<script>alert(1)</script>",
    [],
    ["x"],
    [2**70],
    {},
    {"$ref": "#"},
]
ARGUMENTS = [("search", "query"), ("ask", "question"), ("list_documents", "offset"), ("read_document", "document_id")]
BODIES: list[str] = [
    "",
    "null",
    "1",
    '"x"',
    "[]",
    "{}",
    "{",
    NESTED,
    '{"a":' * 2000 + "1" + "}" * 2000,
    "\xff\xfe",
    '{"jsonrpc": "2.0", "id": 1, "method": "\\ud800"}',
    '{"jsonrpc": "2.0", "id": NaN, "method": "tools/list"}',
    '{"jsonrpc": "2.0", "id": 1' + "0" * 5000 + ', "method": "tools/list"}',
    *(
        json.dumps(each)
        for each in (
            [{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}] * 50,
            {"jsonrpc": "1.0", "id": 1, "method": "tools/list"},
            {"jsonrpc": "2.0", "id": {}, "method": "tools/list"},
            {"jsonrpc": "2.0", "id": 1, "method": 7},
            {"jsonrpc": "2.0", "id": 1, "method": "__class__"},
            {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": []},
            {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"cursor": {}}},
            {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": 1}},
            {"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": {"uri": "file:///etc/passwd"}},
            {"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": {"uri": "millpond://documents/../1"}},
            {"jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": {"uri": "millpond://documents/1"}},
            {"jsonrpc": "2.0", "id": 1, "method": "sampling/createMessage", "params": {}},
            {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": {}},
            {"jsonrpc": "2.0", "id": 1, "result": {}},
            {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": [1]}},
            {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": 5},
            {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": {}}},
            {**CALL, "params": {"name": "__init__", "arguments": {}}},
            {**CALL, "params": {"name": ["search"], "arguments": {}}},
            {**CALL, "params": {"name": "search", "arguments": "x"}},
            {**CALL, "params": {"name": "search", "arguments": {"query": "x", "actor": "admin"}, "_meta": 3}},
            {**CALL, "params": {"name": "search", "arguments": {"query": "x", "collections": list(range(5000))}}},
            {**CALL, "id": "x" * 10_000, "params": {"name": "list_documents", "arguments": {}}},
        )
    ),
    *(
        json.dumps({**CALL, "params": {"name": tool, "arguments": {name: value}, "_meta": META}})
        for tool, name in ARGUMENTS
        for value in VALUES
    ),
]
ODD_HEADERS = [
    {"MCP-Protocol-Version": "1999-01-01"},
    {"MCP-Protocol-Version": "\xff"},
    {"Mcp-Session-Id": "x" * 5000},
    {"Mcp-Session-Id": "\xe9"},
    {"Content-Type": "text/plain"},
    {"Accept": "text/html"},
    {"Last-Event-ID": "../1"},
    {"Mcp-Method": "tools/call", "Mcp-Name": "ask"},
    {"Content-Encoding": "gzip"},
]


def test_hostile_messages_end_neither_in_a_defect_nor_beyond_the_rights(team: Team) -> None:
    """Whatever is sent, in both forms: no 500, no traceback, nothing of another person's, and the server goes on."""
    assert len(BODIES) > 60
    listed = '{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}'
    sent = [(body, form) for body in BODIES for form in (HEADERS, MODERN)]
    sent += [(listed, {**HEADERS, **odd}) for odd in ODD_HEADERS]
    with team.program("aud", "read") as client:
        for body, headers in sent:
            raw = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
            answer = client.post("/mcp", content=body.encode("latin-1", "replace"), headers=list(raw.items()))
            assert answer.status_code < 500, (body[:200], answer.text[:500])
            assert SECRET not in answer.text, body[:200]
            assert "Traceback" not in answer.text, body[:200]
            assert answer.headers["cache-control"] == "no-store"
        assert client.post("/mcp", content=b"x" * 300_000, headers=HEADERS).status_code == 413
        assert client.get("/mcp", headers=HEADERS).status_code == 405
        assert client.get("/api/collections").status_code == 200
    assert '"event": "defect' not in team.server.log.read_text()


async def test_twenty_clients_at_once(team: Team) -> None:
    """Each gets its own answers, with its own rights."""
    found: list[int] = []

    async def one(number: int) -> None:
        name = "uma" if number % 2 else "aud"
        async with connected(team.server.url, team[name].tokens["ask"], "legacy" if number % 3 else "auto") as client:
            result = await client.call_tool("list_documents", {"name": SECRET})
            assert result.structured_content["total"] == number % 2
            assert "1742" in text_of(await client.call_tool("search", {"query": "When was the mill built?"}))
            found.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(one, number)
    assert sorted(found) == list(range(20))


@pytest.fixture(scope="module")
def slow_model() -> Iterator[ModelServer]:
    """A chat server that stops in the middle of each answer."""
    with model_server() as server:
        yield server


@pytest.fixture(scope="module")
def open_server(slow_model: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server without accounts, under a path of its own, with that chat server."""
    model = {"openai_base_url": slow_model.openai("midhang"), "openai_model": "tiny", "openai_api_key": "k"}
    with serving(tmp_path_factory.mktemp("open") / "data", base_path=BASE_PATH, **model) as server:
        server.wait_finished(server.add("seals.txt", b"Seals are covered for 12 months."))
        yield server


def running(server: Server) -> int:
    """Return how many answers are being written."""
    return int(server.client.get("/api/status").json()["answers"]["running"])


@BOTH
async def test_a_cancelled_answer_ends(open_server: Server, slow_model: ModelServer, mode: str) -> None:
    """The client's cancellation ends the answer, the call of the model and the request; without a token on loopback."""
    hung_up = slow_model.hung_up
    url = f"{open_server.url}{BASE_PATH}"
    async with connected(url, mode=mode) as client:
        begun = anyio.Event()

        async def progress(_done: float, _total: float | None, message: str | None) -> None:
            if message:
                begun.set()

        async def ask() -> None:
            await client.call_tool("ask", {"question": "How long are seals covered?"}, progress_callback=progress)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            with anyio.fail_after(30):
                await begun.wait()
            assert await anyio.to_thread.run_sync(running, open_server) == 1
            tasks.cancel_scope.cancel()

        def ended() -> None:
            eventually(lambda: running(open_server) == 0, seconds=10, what="the end of the answer")

        await anyio.to_thread.run_sync(ended)
        assert slow_model.wait(lambda: slow_model.hung_up > hung_up)
        listed = await client.call_tool("list_documents", {})
        assert listed.structured_content["total"] == 1


def test_the_sdk_is_imported_with_the_first_request() -> None:
    """It takes 23 MB, which whoever does not use it would pay for."""
    code = (
        "import sys; from console import asgi; asgi.create_api();"
        "print('LOADED', sorted({'mcp', 'mcp_types', 'httpx2', 'sse_starlette'} & set(sys.modules)));"
        "import console.api.mcp_server; print('THEN', 'mcp' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "LOADED []" in done.stdout
    assert "THEN True" in done.stdout
