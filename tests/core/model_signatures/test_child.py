"""What the verifying process refuses: many cases in one process, as importing the library takes most of the time."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.core.model_signatures.keys import KeyPair, key_pair, sign_all
from tests.servers import ROOT, environment

Answer = dict[str, Any]


def model(folder: Path) -> Path:
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    (folder / "model.safetensors").write_bytes(os.urandom(3000))
    return folder


def change_payload(bundle: Path, change: Callable[[Any], None]) -> None:
    content = json.loads(bundle.read_text())
    statement = json.loads(base64.b64decode(content["dsseEnvelope"]["payload"]))
    change(statement)
    content["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    bundle.write_text(json.dumps(content))


def claim_signer(bundle: Path, other: Path) -> None:
    """Say in a bundle that the owner of another signature made it."""
    content = json.loads(bundle.read_text())
    content["verificationMaterial"] = json.loads(other.read_text())["verificationMaterial"]
    bundle.write_text(json.dumps(content))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def rename(path: Path) -> None:
    path.rename(path.with_name("other"))


def drop_ignored(statement: Any) -> None:
    del statement["predicate"]["resources"][0]


CHANGES: dict[str, tuple[Callable[[Path], object], Answer]] = {
    "unchanged": (lambda _m: None, {"signed": ["1_Pooling/config.json", "config.json", "model.safetensors"]}),
    "one bit": (lambda m: flip(m / "model.safetensors"), {"names": {"changed": ["model.safetensors"]}}),
    "cut": (lambda m: os.truncate(m / "model.safetensors", 2000), {"names": {"changed": ["model.safetensors"]}}),
    "empty": (lambda m: os.truncate(m / "config.json", 0), {"names": {"changed": ["config.json"]}}),
    "extra": (lambda m: (m / "modeling.py").write_text("evil"), {"names": {"extra": ["modeling.py"]}}),
    "extra in a folder": (
        lambda m: (m / "1_Pooling" / "b.json").touch(),
        {"names": {"extra": ["1_Pooling/b.json"]}},
    ),
    "missing": (lambda m: (m / "config.json").unlink(), {"names": {"missing": ["config.json"]}}),
    "renamed": (
        lambda m: rename(m / "config.json"),
        {"names": {"extra": ["other"], "missing": ["config.json"]}},
    ),
    "swapped": (
        lambda m: shutil.copy(m / "config.json", m / "1_Pooling" / "config.json"),
        {"names": {"changed": ["1_Pooling/config.json"]}},
    ),
    "git files are left out": (lambda m: (m / ".gitignore").touch(), {"signed": 3}),
}
BUNDLES: dict[str, tuple[Callable[[Path], object], str]] = {
    "payload changed": (lambda b: change_payload(b, drop_ignored), "content"),
    "more ignored": (
        lambda b: change_payload(b, lambda s: s["predicate"]["serialization"].update(ignore_paths=["config.json"])),
        "content",
    ),
    "other version": (lambda b: change_payload(b, lambda s: s.update(predicateType="x")), "bundle"),
    "no resources": (lambda b: change_payload(b, lambda s: s["predicate"].pop("resources")), "bundle"),
    "empty": (lambda b: b.write_bytes(b""), "bundle"),
    "no JSON": (lambda b: b.write_bytes(b"\0\xff" * 50), "bundle"),
    "a list": (lambda b: b.write_text("[]"), "bundle"),
    "deep": (lambda b: b.write_text("[" * 100_000), "bundle"),
    "no signature": (
        lambda b: b.write_text(json.dumps(json.loads(b.read_text()) | {"verificationMaterial": {}})),
        "bundle",
    ),
    "cut": (lambda b: os.truncate(b, 200), "bundle"),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answer]:
    """The answer to each case by its name, from one process."""
    folder = tmp_path_factory.mktemp("cases")
    owner, other = key_pair(folder), key_pair(folder, "other")
    cases: dict[str, tuple[Path, Path, Path]] = {}

    def case(name: str, key: Path = owner.public) -> tuple[Path, Path]:
        place = folder / f"case {len(cases)}"
        cases[name] = model(place / "model"), place / "bundle.sig", key
        return cases[name][:2]

    curves: dict[str, tuple[Path, Path, KeyPair]] = {}
    for name, curve in (("P-384", ec.SECP384R1()), ("P-521", ec.SECP521R1())):
        keys = key_pair(folder, name, ec.generate_private_key(curve))
        curves[name] = *case(name, keys.public), keys
    signed = [(*case(name), owner) for name in (*CHANGES, *(f"bundle: {name}" for name in BUNDLES))]
    by_other = *case("by another"), other
    forged = *case("says it is the owner's"), other
    sign_all(*curves.values(), *signed, by_other, forged)
    claim_signer(forged[1], signed[0][1])
    for name, (change, _wanted) in CHANGES.items():
        change(cases[name][0])
    for name, (spoil, _wanted) in BUNDLES.items():
        spoil(cases[f"bundle: {name}"][1])
    for name, private in (
        ("RSA", rsa.generate_private_key(65537, 2048)),
        ("Ed25519", ed25519.Ed25519PrivateKey.generate()),
        ("K-256", ec.generate_private_key(ec.SECP256K1())),
    ):
        shutil.copy(signed[0][1], case(f"key: {name}", key_pair(folder, name, private).public)[1])
    shutil.copy(signed[0][1], case("key: private", owner.private)[1])
    (folder / "no.pem").write_text("no key")
    shutil.copy(signed[0][1], case("key: none", folder / "no.pem")[1])
    return ask(cases)


def ask(cases: dict[str, tuple[Path, Path, Path]]) -> dict[str, Answer]:
    script = (
        "import json, sys; from pathlib import Path; from services.core.model_signatures.child import verify\n"
        "for line in sys.stdin:\n"
        "    print(json.dumps(verify(*map(Path, line.rstrip('\\n').split('\\t')))), file=sys.stderr)\n"
    )
    lines = "".join("\t".join(map(str, case)) + "\n" for case in cases.values())
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=lines,
        text=True,
        capture_output=True,
        check=False,
        timeout=120,
        env=environment() | {"PYTHONPATH": str(ROOT)},
    )
    found = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(zip(cases, found, strict=True))


@pytest.mark.parametrize("name", CHANGES)
def test_what_was_changed_is_named(answers: dict[str, Answer], name: str) -> None:
    """Each file that is not as it was signed, one that came, one that went."""
    wanted = CHANGES[name][1]
    answer = answers[name]
    if "signed" in wanted:
        assert "refused" not in answer, answer
        assert wanted["signed"] in (answer["signed"], len(answer["signed"]))
    else:
        assert (answer["refused"], answer["names"]) == ("files", wanted["names"])


@pytest.mark.parametrize("name", BUNDLES)
def test_a_bundle_that_is_not_as_it_was_signed_is_refused(answers: dict[str, Answer], name: str) -> None:
    """Also one that would make the process fail: it answers all the same."""
    assert answers[f"bundle: {name}"].get("refused") == BUNDLES[name][1]


def test_a_signature_by_somebody_else_is_refused(answers: dict[str, Answer]) -> None:
    """Whether it says so or claims to be the owner's."""
    assert answers["by another"]["refused"] == "signer"
    assert answers["says it is the owner's"]["refused"] == "content"


@pytest.mark.parametrize(
    ("name", "detail"),
    [("RSA", "type"), ("Ed25519", "type"), ("K-256", "type"), ("private", "private"), ("none", "unreadable")],
)
def test_a_key_that_cannot_be_used_is_refused(answers: dict[str, Answer], name: str, detail: str) -> None:
    """In words, above all a private key, which does not belong on the server."""
    answer = answers[f"key: {name}"]
    assert (answer["refused"], answer["detail"]) == ("key", detail)


@pytest.mark.parametrize("name", ["P-384", "P-521"])
def test_the_larger_curves_are_known(answers: dict[str, Answer], name: str) -> None:
    """The library signs with three curves."""
    assert "refused" not in answers[name], answers[name]
