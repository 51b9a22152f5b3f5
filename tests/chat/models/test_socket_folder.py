from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from services.chat.models.socket_folder import SocketFolder
from tests.servers import ROOT

HOLDER = """
import sys, tempfile
tempfile.tempdir = sys.argv[1]
from services.chat.models.socket_folder import SocketFolder
print(SocketFolder().path, flush=True)
sys.stdin.read()
"""


def test_a_killed_process_leaves_no_folder_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each kill while a local model is loaded would leave a folder with a socket; that of a living process stays."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "millpond-of-somebody").mkdir()
    holders = []
    for _number in range(2):
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert holder.stdout
        holders.append((holder, Path(holder.stdout.readline().strip())))
    (killed, left), (living, kept) = holders
    killed.kill()
    killed.communicate()
    assert left.is_dir()
    own = SocketFolder()
    assert sorted(tmp_path.iterdir()) == sorted([own.path, kept, tmp_path / "millpond-of-somebody"])
    assert oct(own.path.stat().st_mode & 0o777) == "0o700"
    living.communicate("")
    own.remove()
    own.remove()
    assert not own.path.exists()
