from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_LOADED = """
import os
from services.core.onnx_runtime import import_onnx_runtime
before = len(os.listdir('/proc/self/task'))
import_onnx_runtime()
print(len(os.listdir('/proc/self/task')) - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads by /proc")
def test_it_starts_no_thread_that_reports_and_keeps_no_identifier(tmp_path: Path) -> None:
    """A process with a home folder of its own has imported it: no uploader runs, nothing was written."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("ORT_")}
    variables |= {"OPENBLAS_NUM_THREADS": "1"}  # numpy's would be counted
    found = subprocess.run(
        [sys.executable, "-c", _LOADED],
        cwd=ROOT,
        env=variables | {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == "0\n"
    assert list(tmp_path.rglob("*")) == []


def test_nothing_else_imports_it() -> None:
    """Whoever imported it first would decide what it sends."""
    ours = [path for room in ("console", "pages", "services") for path in (ROOT / room).rglob("*.py")]
    importing = [path.relative_to(ROOT).as_posix() for path in ours if _imports(path)]
    assert len(ours) > 300
    assert importing == []


def _imports(path: Path) -> bool:
    """Whether a module imports ONNX Runtime when it runs; for its types it may."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    types_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        if id(node) not in types_only and any(name.partition(".")[0] == "onnxruntime" for name in names):
            return True
    return False
