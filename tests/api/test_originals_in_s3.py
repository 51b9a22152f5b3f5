from __future__ import annotations

from pathlib import Path

from tests.s3_server import SECRET, objects, s3_server
from tests.servers import eventually, serving


def test_server_whose_originals_are_in_s3(tmp_path: Path) -> None:
    """Originals go to the bucket and come from it; without it only what needs one fails, and says why, with 503."""
    s3 = s3_server()
    settings = s3.settings()
    heron, stork = b"The heron eats fish. " * 40, b"The stork eats frogs. " * 40
    with serving(tmp_path / "data", **settings) as server:
        document = server.add("heron.txt", heron)
        assert server.wait_finished(document)["status"] == "ready"
        assert not list((tmp_path / "data").glob("files/*"))
        address = f"/api/documents/{document}/original"
        assert server.client.get(address).content == heron
        for copy in (tmp_path / "data" / "originals" / "cache").iterdir():
            copy.unlink()
        assert server.client.get(address, headers={"Range": "bytes=4-8"}).content == b"heron"
        s3.stop()
        try:
            for copy in (tmp_path / "data" / "originals" / "cache").iterdir():
                copy.unlink()
            gone = server.client.get(address)
            assert gone.status_code == 503
            assert int(gone.headers["Retry-After"]) > 0
            assert "does not answer" in gone.json()["detail"]
            refused = server.client.post("/api/documents", files={"file": ("stork.txt", stork)})
            assert refused.status_code == 503
            assert int(refused.headers["Retry-After"]) > 0
            found = server.client.post("/api/search", json={"query": "What does the heron eat?"})
            assert found.status_code == 200, found.text
            ready = server.client.get("/readyz")
            assert ready.status_code == 200
            check = ready.json()["checks"]["original files"]
            assert check["warning"]
            assert "does not answer" in check["detail"]
        finally:
            s3.start()
        eventually(
            lambda: not server.client.get("/readyz").json()["checks"]["original files"]["warning"],
            what="the end of the warning",
        )
        assert server.client.get(address).content == heron
        assert server.wait_finished(server.add("stork.txt", stork))["status"] == "ready"
        server.client.delete(f"/api/documents/{document}").raise_for_status()
        place = objects(settings)
        eventually(
            lambda: [each["size"] for page in place.list() for each in page if "/" in each["path"]] == [len(stork)],
            what="the deletion",
        )
        assert SECRET not in server.log.read_text()
