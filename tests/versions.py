"""Source trees of other versions: the one before the newest migration, from the history; those after it, made up."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from services.core.schema_version import HEAD, OLDEST_AT_WORK
from tests.servers import ROOT

PARTS = ("services", "console", "pages", ".streamlit")
_SCRIPT = '''"""Made up for a test."""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{before}"
branch_labels = None
depends_on = None


def upgrade() -> None:
{steps}
'''


def version_before(folder: Path) -> Path:
    """Unpack the tree before the commit that brought the newest migration; skips the test where it cannot be had."""
    script = f"services/core/migrations/versions/{HEAD}.py"
    added = _git("log", "--diff-filter=A", "--format=%H", "-1", "--", script)
    before = _git("rev-parse", "--verify", "--quiet", f"{added}^1") if added else ""
    if not before:
        pytest.skip("the history of the repository does not have the version before")
    archive = folder / "before.tar"
    subprocess.run(["git", "archive", "-o", archive, before, *PARTS], cwd=ROOT, check=True)
    tree = folder / "before"
    with tarfile.open(archive) as packed:
        packed.extractall(tree, filter="data")
    assert not (tree / script).exists()
    return tree


def version_after(
    folder: Path, revision: str, *steps: str, tree: Path = ROOT, before: str = HEAD, oldest: str = OLDEST_AT_WORK
) -> Path:
    """Make the version after `tree`, whose newest revision is `before`: with one more migration, which does `steps`.

    `oldest` is the oldest revision whose nodes can go on beside it.
    """
    made = folder / revision
    for part in PARTS:
        shutil.copytree(tree / part, made / part, ignore=shutil.ignore_patterns("__pycache__"))
    scripts = made / "services" / "core" / "migrations" / "versions"
    text = _SCRIPT.format(revision=revision, before=before, steps="\n".join(f"    {step}" for step in steps))
    (scripts / f"{revision}.py").write_text(text)
    known = made / "services" / "core" / "schema_version.py"
    source = known.read_text()
    for line in (f'    "{before}",\n)\n', "\nOLDEST_AT_WORK = "):
        assert source.count(line) == 1, line
    source = source.replace(f'    "{before}",\n)\n', f'    "{before}",\n    "{revision}",\n)\n')
    start = source.index("\nOLDEST_AT_WORK = ")
    end = source.index("\n", start + 1)
    known.write_text(f'{source[:start]}\nOLDEST_AT_WORK = "{oldest}"{source[end:]}')
    return made


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
