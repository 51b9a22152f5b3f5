from __future__ import annotations

import random
from pathlib import Path

import pytest

from services.audit.findings import AuditFinding
from services.audit.signing import SigningKey
from tests.audit import manipulations
from tests.audit.manipulations import FORGERIES, Forgery, copied, verified, write_log

TIMES = 7  # each forgery, at other places; tests/siege/siege_audit.py makes a thousand


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an audit log that nobody has touched."""
    folder = tmp_path_factory.mktemp("audit")
    write_log(folder)
    return folder


def test_an_untouched_log_is_whole(original: Path) -> None:
    """A verification that finds something in every log is of no use; its names, erasures and tail are all right."""
    found = verified(original)
    assert found.problems == ()
    assert found.records == manipulations.RECORDS + 1
    assert found.unsigned == 3
    assert found.heads > 5


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: forgery.name)
def test_every_forgery_is_found(original: Path, tmp_path: Path, forgery: Forgery) -> None:
    """Somebody who can write the whole data folder, but has not the private key, could change what was recorded."""
    unseen = []
    for number in range(TIMES):
        folder = copied(original, tmp_path / str(number))
        forgery.forge(folder, random.Random(f"{forgery.name} {number}"))
        if verified(folder).whole:
            unseen.append(number)
    assert unseen == []


@pytest.mark.parametrize(
    ("forge", "kind"),
    [
        (manipulations.change_and_rehash_one, AuditFinding.CHANGED),
        (manipulations.remove, AuditFinding.REMOVED),
        (manipulations.remove_and_renumber, AuditFinding.REMOVED),
        (manipulations.insert, AuditFinding.INSERTED),
        (manipulations.swap, AuditFinding.REORDERED),
        (manipulations.cut_tail, AuditFinding.CUT_OFF),
        (manipulations.cut_tail_and_heads, AuditFinding.CUT_OFF),
        (manipulations.erase_name, AuditFinding.NAME_CHANGED),
        (manipulations.replace_public_key, AuditFinding.KEY_REPLACED),
        (manipulations.sign_with_another_key, AuditFinding.KEY_REPLACED),
    ],
    ids=lambda each: getattr(each, "__name__", None),
)
def test_it_says_what_was_done(original: Path, tmp_path: Path, forge: object, kind: AuditFinding) -> None:
    """ "The log is damaged" would not tell an auditor whether a record is false, missing or invented."""
    said = []
    for number in range(3):
        folder = copied(original, tmp_path / str(number))
        forge(folder, random.Random(number))  # type: ignore[operator]
        said.append({problem.kind for problem in verified(folder).problems})
    assert all(kind in kinds for kinds in said), said


def test_who_signs_everything_anew_is_found_by_a_public_key_that_was_kept(original: Path, tmp_path: Path) -> None:
    """Who replaces both keys makes a log that fits itself: the copy of the public key elsewhere is what tells."""
    folder = copied(original, tmp_path / "folder")
    kept = tmp_path / "kept.pub"
    kept.write_bytes((folder / "audit.pub").read_bytes())
    manipulations.change_and_rehash_all(folder, random.Random(1))
    for name in ("audit.key", "audit.pub"):
        (folder / name).unlink()
    manipulations.sign_all(folder, SigningKey(folder / "audit.key"))
    assert verified(folder).whole
    found = verified(folder, kept)
    assert AuditFinding.KEY_REPLACED in {problem.kind for problem in found.problems}
