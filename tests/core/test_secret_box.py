from __future__ import annotations

import base64
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from services.core.errors import BadInputError, ConflictError, StorageError
from services.core.secret_box import KEY_FILE, SecretBox, UnreadableSecretError
from tests.servers import ROOT, environment

MARK = "sk-marker-7Qz9-of-a-secret"
KEY = "k" * 40
OTHER = "o" * 40


def private(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_secret_opens_under_its_name_alone(tmp_path: Path) -> None:
    """A ciphertext that is moved to another entry of the database would be sent to another server."""
    box = SecretBox(tmp_path)
    sealed = box.seal("chat", MARK)
    assert MARK not in sealed
    assert MARK not in base64.urlsafe_b64decode(sealed.rpartition(".")[2]).decode("latin-1")
    assert box.open("chat", sealed, "The key") == MARK
    assert box.seal("chat", MARK) != sealed
    with pytest.raises(UnreadableSecretError, match="belongs to something else"):
        box.open("webhook", sealed, "The key")


def test_the_key_file_is_made_when_it_is_needed_and_private(tmp_path: Path) -> None:
    """Whoever stores no secret has no key file; that of others is readable by its owner alone, whatever the umask."""
    before = os.umask(0)
    try:
        box = SecretBox(tmp_path)
        box.check()
        assert list(tmp_path.iterdir()) == []
        sealed = box.seal("chat", MARK)
    finally:
        os.umask(before)
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    assert SecretBox(tmp_path).open("chat", sealed, "The key") == MARK


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o622, 0o755])
def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """At the start, and with what to type."""
    file = private(tmp_path / "key", KEY, mode)
    box = SecretBox(tmp_path, key_file=str(file))
    with pytest.raises(BadInputError, match="not private") as caught:
        box.check()
    assert f"chmod 600 {file}" in caught.value.hint
    with pytest.raises(BadInputError):
        box.seal("chat", MARK)
    assert KEY not in str(caught.value)


def test_a_key_file_may_be_read_only_or_a_link(tmp_path: Path) -> None:
    """As Kubernetes mounts secrets: links to files of mode 0400."""
    private(tmp_path / "data", KEY, 0o400)
    (tmp_path / "key").symlink_to(tmp_path / "data")
    box = SecretBox(tmp_path, key_file=str(tmp_path / "key"))
    box.check()
    assert box.open("a", box.seal("a", MARK), "It") == MARK


@pytest.mark.parametrize("content", ["short", f"{KEY} short", "\xff" * 50])
def test_what_cannot_be_a_key_is_refused(tmp_path: Path, content: str) -> None:
    """A password of eight letters would be found by trying."""
    (tmp_path / "key").write_bytes(content.encode("latin-1"))
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(BadInputError, match="key"):
        SecretBox(tmp_path, key_file=str(tmp_path / "key")).check()
    if content.isascii():
        with pytest.raises(BadInputError, match="MILLPOND_SECRET_KEY"):
            SecretBox(tmp_path, key=SecretStr(content)).check()


def test_a_pipe_or_folder_in_place_of_the_key_file_is_refused(tmp_path: Path) -> None:
    """And the start does not wait for somebody to write into the pipe."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "folder").mkdir(0o700)
    for name in ("pipe", "folder"):
        with pytest.raises(BadInputError):
            SecretBox(tmp_path, key_file=str(tmp_path / name)).check()


def test_a_lost_or_wrong_key_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    """What happened, what was kept, what to do; with the right key back the secret is there."""
    sealed = SecretBox(tmp_path, key=SecretStr(KEY)).seal("chat", MARK)
    wrong = SecretBox(tmp_path, key=SecretStr(OTHER))
    lost = SecretBox(tmp_path, key_file=str(tmp_path / "gone"))
    lost.check()
    for box, reason in ((wrong, "another key"), (lost, "no key in"), (SecretBox(tmp_path), "no key in")):
        with pytest.raises(UnreadableSecretError, match=reason) as caught:
            box.open("chat", sealed, "The key of the chat server")
        assert caught.value.message.startswith("The key of the chat server cannot be decrypted")
        assert "kept as it is stored" in caught.value.message
        assert "Enter it again" in caught.value.hint
    with pytest.raises(UnreadableSecretError, match="nothing was stored"):
        lost.seal("chat", MARK)
    assert not (tmp_path / "gone").exists()
    assert SecretBox(tmp_path, key=SecretStr(KEY)).open("chat", sealed, "It") == MARK


@pytest.mark.parametrize("place", [0, 3, 20, -2])
def test_a_changed_secret_is_found(tmp_path: Path, place: int) -> None:
    """Encryption that does not authenticate would give back another text."""
    box = SecretBox(tmp_path)
    sealed = box.seal("chat", MARK)
    changed = list(sealed)
    changed[place] = "A" if changed[place] != "A" else "B"
    for text in ("".join(changed), sealed[:-8], "", "v1", "v1.x.y", MARK, "v1..\xe4"):
        with pytest.raises(UnreadableSecretError):
            box.open("chat", text, "It")


def test_a_configured_key_is_replaced_by_putting_the_new_one_first(tmp_path: Path) -> None:
    """Both open, the first seals; then the old one can go."""
    old = SecretBox(tmp_path, key=SecretStr(KEY)).seal("chat", MARK)
    both = SecretBox(tmp_path, key_file=str(private(tmp_path / "keys", f"# 2026\n{OTHER}\n{KEY}\n")))
    assert both.open("chat", old, "It") == MARK
    assert not both.is_current(old)
    new = both.seal("chat", both.open("chat", old, "It"))
    assert both.is_current(new)
    assert SecretBox(tmp_path, key=SecretStr(OTHER)).open("chat", new, "It") == MARK
    with pytest.raises(ConflictError, match="nothing was changed"):
        both.add_key()


def test_millponds_own_key_is_replaced(tmp_path: Path) -> None:
    """A new key seals, the old one opens until it is dropped."""
    box = SecretBox(tmp_path)
    old = box.seal("chat", MARK)
    box.add_key()
    assert box.open("chat", old, "It") == MARK
    new = box.seal("chat", MARK)
    assert box.is_current(new)
    assert not box.is_current(old)
    box.drop_old_keys()
    assert box.open("chat", new, "It") == MARK
    with pytest.raises(UnreadableSecretError):
        box.open("chat", old, "It")


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """And nothing is encrypted with a key that is not on disk."""
    with pytest.raises(StorageError, match="nothing was stored"):
        SecretBox(tmp_path / "missing").seal("chat", MARK)


def test_what_holds_keys_shows_none(tmp_path: Path) -> None:
    """By repr, in an exception, or in the box's attributes."""
    box = SecretBox(tmp_path, key=SecretStr(KEY))
    assert KEY not in repr(box) + repr(box._keys()) + repr(vars(box))
    assert box._keys()[0].secret.hex() not in repr(box._keys())


def test_cryptography_is_imported_with_the_first_secret(tmp_path: Path) -> None:
    """It takes 9 MB, which those who store no secret do not pay."""
    script = (
        "import sys; from pathlib import Path; from services.core.secret_box import SecretBox\n"
        f"box = SecretBox(Path({str(tmp_path)!r})); box.check()\n"
        "assert 'cryptography' not in sys.modules\n"
        "box.seal('a', 'b'); assert 'cryptography' in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", script], check=True, cwd=ROOT, env=environment() | {"PYTHONPATH": str(ROOT)}, timeout=60
    )
