from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.knowledge.formats.mails import attach, mail
from tests.servers import Server, eventually


def text(topic: str) -> bytes:
    return f"{topic} is described here. Reference {uuid4().hex}. It is covered for 12 months.\n".encode()


def stored(server: Server) -> set[Path]:
    return {path for path in (server.data_dir / "files").rglob("*") if path.is_file()}


def names(server: Server, **filters: object) -> list[str]:
    found = server.client.get("/api/documents", params={"limit": 1000, **filters}).json()["documents"]
    return [document["name"] for document in found]


def test_life_of_a_document(server: Server) -> None:
    """Handed in, taken in, listed, read, downloaded as it was, deleted without a trace."""
    content = text("The quarterly barometer")
    number = server.add("barometer.txt", content)
    document = server.wait_finished(number)
    assert document["status"] == "ready", document
    assert (document["error"], document["hint"]) == ("", "")
    assert document["chunks"] == 1
    assert document["searchable"]
    assert document["sha256"] == hashlib.sha256(content).hexdigest()
    assert document["size_bytes"] == len(content)
    assert set(document["progress"]) == {"done", "total", "unit"}
    assert "barometer.txt" in names(server, query="barom")

    chunks = server.client.get(f"/api/documents/{number}/chunks").json()
    assert chunks["total"] == 1
    assert "quarterly barometer" in chunks["chunks"][0]["text"]

    original = server.client.get(f"/api/documents/{number}/original")
    assert original.content == content

    kept = stored(server)
    assert server.client.delete(f"/api/documents/{number}").status_code == 204
    assert server.client.get(f"/api/documents/{number}").status_code == 404
    assert server.client.delete(f"/api/documents/{number}").status_code == 404
    assert "barometer.txt" not in names(server)
    assert len(stored(server)) == len(kept) - 1


def test_original_is_only_ever_a_download(server: Server) -> None:
    """A file whose name and content are markup is sent as an attachment that no browser runs, under its full name."""
    number = server.add('<script>alert("1")</script> 报告.html', b"<script>alert(1)</script><p>Some text to read.</p>")
    answer = server.client.get(f"/api/documents/{number}/original")
    disposition = answer.headers["content-disposition"]
    assert disposition.startswith("attachment; ")
    assert "filename*=UTF-8''" in disposition
    assert "%E6%8A%A5%E5%91%8A.html" in disposition
    assert not set("<>\r\n") & set(disposition)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["content-type"] == "application/octet-stream"


def test_same_content_is_taken_once(server: Server) -> None:
    """The same bytes again are recognised and do nothing."""
    content = text("The duplicated heron")
    first = server.client.post("/api/documents", files={"file": ("heron.txt", content)}).json()["documents"][0]
    server.wait_finished(first["id"])
    again = server.client.post("/api/documents", files={"file": ("heron again.txt", content)}).json()["documents"][0]
    assert again["duplicate"]
    assert again["id"] == first["id"]


def test_good_files_are_taken_beside_bad_ones(server: Server) -> None:
    """An empty file among others is reported by itself; the others are taken."""
    answer = server.client.post(
        "/api/documents",
        files=[
            ("file", ("good one.txt", text("One"))),
            ("file", ("nothing.txt", b"")),
            ("file", ("good two.txt", text("Two"))),
        ],
    )
    assert answer.status_code == 202
    assert [document["name"] for document in answer.json()["documents"]] == ["good one.txt", "good two.txt"]
    (error,) = answer.json()["errors"]
    assert (error["name"], error["status"]) == ("nothing.txt", 400)
    assert error["hint"]


def test_file_over_the_limit_leaves_nothing(server: Server) -> None:
    """One byte over the limit is 413; nothing of the file stays on disk or in the list."""
    before = stored(server)
    answer = server.client.post("/api/documents", files={"file": ("huge.txt", b"x" * (16 * 2**20 + 1))})
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert "16 MB" in answer.json()["detail"]
    assert stored(server) == before
    assert "huge.txt" not in names(server)


def test_large_file_goes_to_disk_while_it_arrives(server: Server) -> None:
    """Bytes that were sent are on disk before the form is complete; when the sender goes away, nothing stays."""
    before = stored(server)
    released = threading.Event()
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="half.bin"\r\n\r\n'
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as connection:
        request = (
            f"POST /api/documents HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {8 * 2**20}\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        )
        connection.sendall(request.encode() + head + b"x" * (4 * 2**20))
        eventually(lambda: sum(path.stat().st_size for path in stored(server) - before) >= 2 * 2**20, what="the bytes")
        released.set()
    eventually(lambda: stored(server) == before, what="the clean-up after a broken upload")
    assert "half.bin" not in names(server)


@pytest.fixture
def shelf(server: Server) -> Iterator[int]:
    """A collection of its own."""
    made = server.client.post("/api/collections", json={"name": f"shelf {uuid4().hex[:8]}"})
    assert made.status_code == 201
    yield made.json()["id"]
    assert server.client.delete(f"/api/collections/{made.json()['id']}").status_code == 204


def test_collection_field_counts_wherever_it_stands(server: Server, shelf: int) -> None:
    """The collection may come before the files, after them, or in the address."""
    address = "/api/documents"
    boundary = {"Content-Type": "multipart/form-data; boundary=b"}
    field = f'--b\r\nContent-Disposition: form-data; name="collection"\r\n\r\n{shelf}\r\n'.encode()

    def file(name: str) -> bytes:
        head = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        return head.encode() + text(name) + b"\r\n"

    for name, body, query in (
        ("before.txt", field + file("before.txt"), ""),
        ("after.txt", file("after.txt") + field, ""),
        ("address.txt", file("address.txt"), f"?collection={shelf}"),
    ):
        answer = server.client.post(address + query, content=body + b"--b--\r\n", headers=boundary)
        assert answer.status_code == 202, (name, answer.text)
    assert sorted(names(server, collection=shelf)) == ["address.txt", "after.txt", "before.txt"]


@pytest.mark.parametrize(
    ("value", "status"), [("999999", 404), ("general", 400), ("-1", 400), ("", 400), ("１", 400), ("9" * 40, 400)]
)
def test_collection_that_is_none(server: Server, value: str, status: int) -> None:
    """A collection that does not exist or is no number refuses the files, and keeps nothing of them."""
    before = stored(server)
    answer = server.client.post(
        "/api/documents", data={"collection": value}, files={"file": ("lost.txt", text("Lost"))}
    )
    assert answer.status_code == status, answer.text
    assert stored(server) == before
    assert "lost.txt" not in names(server)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "multipart/form-data; boundary=b"),
        (b"--b--\r\n", "multipart/form-data; boundary=b"),
        (b"garbage", "multipart/form-data; boundary=b"),
        (
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="cut.txt"\r\n\r\nhalf',
            "multipart/form-data; boundary=b",
        ),
        (
            b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\nx\r\n--b--\r\n',
            "multipart/form-data; boundary=b",
        ),
        (b"x", "multipart/form-data"),
        (b'{"file": 1}', "application/json"),
    ],
)
def test_broken_forms_are_bad_input(server: Server, body: bytes, kind: str) -> None:
    """What is no form, or a broken one, or has no file, is 400 with a hint and leaves nothing behind."""
    before = stored(server)
    answer = server.client.post("/api/documents", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 400, answer.text
    assert answer.json()["hint"]
    assert stored(server) == before


def test_file_in_another_field_is_refused(server: Server) -> None:
    """A file under another field's name is reported with the right one."""
    answer = server.client.post("/api/documents", files={"document": ("a.txt", text("A"))})
    assert answer.status_code == 400
    assert '"file"' in answer.json()["hint"]


@pytest.mark.parametrize("path", ["", "/chunks", "/original"])
def test_unknown_document(server: Server, path: str) -> None:
    """A document that is not there is 404, something that cannot be an id is 422, everywhere."""
    assert server.client.get(f"/api/documents/987654321{path}").status_code == 404
    assert server.client.get(f"/api/documents/first{path}").status_code == 422
    assert server.client.get(f"/api/documents/{10**30}{path}").status_code == 422
    assert server.client.get(f"/api/documents/-1{path}").status_code == 422


def test_unknown_document_for_actions(server: Server) -> None:
    """Actions on a document that is not there are 404."""
    assert server.client.post("/api/documents/987654321/enable").status_code == 404
    assert server.client.post("/api/documents/987654321/disable").status_code == 404


def test_disabled_document_does_not_answer(server: Server) -> None:
    """Disabling takes a document out of searches and enabling brings it back, without taking it in again."""
    word = uuid4().hex
    number = server.add(f"{word}.txt", f"The marmot {word} sleeps all winter.".encode())
    assert server.wait_finished(number)["status"] == "ready"

    def found() -> bool:
        hits = server.client.post("/api/search", json={"query": f"marmot {word}", "k": 5}).json()["hits"]
        return number in {hit["document_id"] for hit in hits}

    assert found()
    assert server.client.post(f"/api/documents/{number}/disable").json()["enabled"] is False
    assert not found()
    assert server.client.post(f"/api/documents/{number}/enable").json()["enabled"] is True
    assert found()


def test_pages_of_the_list(server: Server, shelf: int) -> None:
    """Paging and order work together, and the total counts all that fit."""
    for name in ("c.txt", "a.txt", "b.txt"):
        server.add(name, text(name), collection=str(shelf))
    seen: list[str] = []
    for offset in range(0, 3, 2):
        page = server.client.get(
            "/api/documents",
            params={"collection": shelf, "limit": 2, "offset": offset, "order": "name", "descending": False},
        ).json()
        assert page["total"] == 3
        seen += [document["name"] for document in page["documents"]]
    assert seen == ["a.txt", "b.txt", "c.txt"]
    assert server.client.get("/api/documents", params={"limit": 0}).status_code == 422
    assert server.client.get("/api/documents", params={"order": "password"}).status_code == 422


def test_failed_document_says_why(server: Server) -> None:
    """Random bytes fail with a reason and what to do; nothing of them is kept, so trying again is refused."""
    before = stored(server)
    number = server.add("noise.pdf", b"%PDF-1.7\n" + hashlib.sha512(uuid4().bytes).digest() * 50)
    document = server.wait_finished(number)
    assert document["status"] == "failed"
    assert document["error"]
    assert document["hint"]
    job = document["job_id"]
    assert job in {entry["id"] for entry in server.client.get("/api/jobs", params={"limit": 1000}).json()["jobs"]}
    assert stored(server) == before
    again = server.client.post(f"/api/jobs/{job}/retry")
    assert again.status_code == 409, again.text
    assert again.json()["hint"]
    assert server.client.delete(f"/api/documents/{number}").status_code == 204


def test_job_is_cancelled_and_tried_again(server: Server) -> None:
    """A long job stops when it is cancelled, can be queued anew, and is gone when it is removed."""
    long = "".join(f"Sentence {index} of a long report on tides {uuid4().hex}. " for index in range(20_000))
    number = server.add("long.txt", long.encode())
    job = server.client.get(f"/api/documents/{number}").json()["job_id"]
    assert server.client.post(f"/api/jobs/{job}/cancel").status_code == 204
    cancelled = server.wait_finished(number)
    assert (cancelled["status"], cancelled["chunks"]) == ("cancelled", 0)
    assert server.client.post(f"/api/jobs/{job}/retry").status_code == 202
    assert server.client.delete(f"/api/documents/{number}").status_code == 204
    assert server.client.get(f"/api/documents/{number}").status_code == 404
    assert server.client.post("/api/jobs/987654321/cancel").status_code == 404


def test_many_at_once(server: Server) -> None:
    """Uploads, lists and searches from many threads at once all succeed, and every file gets a document of its own."""
    numbers: list[int] = []
    failures: list[BaseException] = []

    def work(index: int) -> None:
        try:
            with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
                answer = client.post("/api/documents", files={"file": (f"many {index}.txt", text(f"Many {index}"))})
                numbers.append(answer.raise_for_status().json()["documents"][0]["id"])
                client.get("/api/documents").raise_for_status()
                client.post("/api/search", json={"query": f"many {index}"}).raise_for_status()
        except httpx.HTTPError as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(set(numbers)) == 24
    for number in numbers:
        assert server.wait_finished(number)["status"] == "ready"


def test_an_upload_that_is_broken_off_is_no_defect(server: Server) -> None:
    """When the sender goes away in mid-file, nothing is left and the log tells of no defect of ours."""
    before = stored(server)
    head = (
        "POST /api/documents HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4000000\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\nX-Request-ID: broken-off\r\n\r\n"
        '--x\r\nContent-Disposition: form-data; name="file"; filename="half.txt"\r\n\r\n'
    )
    with socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1]))) as connection:
        connection.sendall(head.encode() + b"half of it " * 150_000)

    def told() -> list[dict[str, object]]:
        lines = [json.loads(line) for line in server.log.read_text().splitlines() if '"broken-off"' in line]
        return lines if any(line["event"] == "request" for line in lines) else []

    eventually(told, what="the line of the request in the log")
    assert {line["level"] for line in told()} == {"info"}
    assert "half.txt" not in names(server)
    assert stored(server) == before


def test_files_of_one_name_in_one_request(server: Server) -> None:
    """The second of two files of one name replaces the first in silence."""
    apart = [("file", ("one/README.md", text("One"))), ("file", ("two/README.md", text("Two")))]
    answer = server.client.post("/api/documents", files=apart)
    assert answer.status_code == 202
    assert [each["name"] for each in answer.json()["documents"]] == ["one › README.md", "two › README.md"]

    alike = [("file", ("alike.md", text("First"))), ("file", ("alike.md", text("Second")))]
    answer = server.client.post("/api/documents", files=alike).json()
    assert [each["name"] for each in answer["documents"]] == ["alike.md"]
    assert [(each["name"], each["status"]) for each in answer["errors"]] == [("alike.md", 409)]
    assert "only the first was added" in answer["errors"][0]["detail"]
    assert server.wait_finished(answer["documents"][0]["id"])["version"] == 1


def test_a_mail_and_its_attachment_by_the_api(server: Server) -> None:
    """What a mail brings is not found, or stays when the mail is deleted."""
    message = mail("Heron offer", "The herons are listed in the attached file.")
    attach(message, "herons.txt", b"Grey herons cost 40 ducats each.", "text/plain")
    taken = server.add("Heron offer.eml", message.as_bytes())
    assert server.wait_finished(taken)["status"] == "ready"
    (attached,) = server.client.get("/api/documents", params={"query": "Heron offer.eml ›"}).json()["documents"]
    assert server.wait_finished(attached["id"])["status"] == "ready"
    hits = server.client.post("/api/search", json={"query": "What do grey herons cost?"}).json()["hits"]
    assert hits[0]["document"] == "Heron offer.eml › herons.txt"
    assert server.client.delete(f"/api/documents/{taken}").status_code == 204
    assert server.client.get(f"/api/documents/{attached['id']}").status_code == 404


def test_a_wrong_method_is_named(server: Server) -> None:
    """The answer to a method that an address does not know says which and where."""
    answer = server.client.put("/api/jobs")
    assert (answer.status_code, answer.headers["content-type"]) == (405, "application/problem+json")
    assert answer.json()["detail"] == "PUT is not possible at /api/jobs."
