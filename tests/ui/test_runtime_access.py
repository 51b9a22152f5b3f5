from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.servers import ROOT, environment

# In a process of its own: there is one application per process, and the tests of pages have theirs.
CODE = """
import sys
from pathlib import Path
import streamlit as st
from console.ui import runtime_access
from services.operations.data_lock import DataLock
from services.core.settings import Settings
from tests.servers import eventually

folder = Path(sys.argv[1])
told = []  # printed at the end: the log of the starting thread goes to standard output, too
runtime_access.configure(Settings(data_dir=folder), url="http://127.0.0.1:1")
first = runtime_access.application()
try:
    runtime_access.configure(Settings(data_dir=folder / "other"))
except RuntimeError:
    told.append("configured once")
eventually(lambda: first.ready or first.failure, seconds=120)
assert first.failure is None, first.failure
st.cache_resource.clear()
told.append(f"{'same' if runtime_access.application() is first else 'another'} {DataLock(folder).holder_url()}")
runtime_access.close()
runtime_access.close()
told.append(f"{'free' if DataLock(folder).holder() is None else 'held'} {first.ready}")
for line in told:
    print(line)
"""


def test_one_application_whatever_is_cleared(tmp_path: Path) -> None:
    """Everybody gets the same application, also after somebody's "clear cache"; closing frees the data folder."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path / "data")],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stdout.splitlines() if not line.startswith("20")]  # the rest is the log
    assert told == ["configured once", "same http://127.0.0.1:1", "free False"]
