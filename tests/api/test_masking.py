from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.servers import Server, eventually, serving

PHONE, ID_NUMBER, MAIL = "13812345678", "11010519491231002X", "li.wei@example.com"
TEXT = f"The landlord can be reached at {PHONE}. His identity number is {ID_NUMBER}."


@pytest.fixture(scope="module")
def masking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("masking") / "data"
    with serving(folder, mask_answers=True, mask_exports=True) as server:
        yield server


def test_a_real_server_tells_nobody_what_is_personal(masking: Server) -> None:
    """A file's name, a question or a path brings a number into the log, the events, the metrics or the requests."""
    client = masking.client
    name = f"租约 {PHONE} {MAIL}.txt"
    document = masking.wait_finished(masking.add(name, TEXT.encode()))
    assert document["name"] == name  # the document itself keeps it
    client.get(f"/api/documents/{PHONE}", params={"mail": MAIL})
    client.get("/api/documents", headers={"X-Request-ID": PHONE})
    client.get(f"/api/no/such/{ID_NUMBER}")
    question = {
        "messages": [{"role": "user", "content": f"How do I reach the landlord with the identity {ID_NUMBER}?"}]
    }
    answer = client.post("/v1/chat/completions", json=question).raise_for_status().json()
    eventually(lambda: "upload" in client.get("/api/memory/events").text, what="the event of the upload")
    events = client.get("/api/memory/events").raise_for_status().text
    assert "[phone …5678] [email].txt" in json.dumps(json.loads(events), ensure_ascii=False)
    requests = client.get("/api/requests").text + client.get("/metrics").text
    log = masking.log.read_text()
    assert "[phone …5678]" in log
    for each in (PHONE, ID_NUMBER, MAIL):
        assert each not in events
        assert each not in log
        assert each not in requests
        assert each not in json.dumps(answer, ensure_ascii=False)
    assert "[phone …5678]" in answer["choices"][0]["message"]["content"]
    for line in log.splitlines():
        json.loads(line)


def test_a_streamed_answer_is_masked(masking: Server) -> None:
    """The stream shows in pieces what the whole answer masks."""
    masking.wait_finished(masking.add("lease.txt", TEXT.encode()))
    body = {"messages": [{"role": "user", "content": "How can the landlord be reached?"}], "stream": True}
    said = ""
    with masking.client.stream("POST", "/v1/chat/completions", json=body, timeout=60) as response:
        for line in response.iter_lines():
            assert PHONE not in line
            if line.startswith("data: {"):
                choices = json.loads(line[6:])["choices"]
                said += "".join(choice["delta"].get("content") or "" for choice in choices)
    assert "[phone …5678]" in said
