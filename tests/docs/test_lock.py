from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TORCH = "torch"  # installed first, by the Makefile


def locked(name: str) -> dict[str, str]:
    pins = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)", (ROOT / name).read_text(), flags=re.MULTILINE)
    return {canonicalize_name(package): version for package, version in pins}


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        ("requirements.lock", PROJECT["project"]["dependencies"]),
        ("requirements-gguf.lock", PROJECT["project"]["optional-dependencies"]["gguf"]),
        ("requirements-test.lock", PROJECT["dependency-groups"]["test"] + PROJECT["project"]["dependencies"]),
    ],
)
def test_lock_holds_what_the_project_asks_for(lock: str, wanted: list[str]) -> None:
    """Every dependency of pyproject.toml is in its lock, in a version that fits."""
    pins = locked(lock)
    requirements = [Requirement(line) for line in wanted]
    unmet = [
        str(requirement)
        for requirement in requirements
        if requirement.name != TORCH
        and not requirement.specifier.contains(pins.get(canonicalize_name(requirement.name), "0"))
    ]
    assert unmet == [], "run: make lock"


def test_torch_is_pinned_in_one_version() -> None:
    """The Makefile installs the torch that pyproject.toml names, and no lock holds another."""
    version = re.search(r"^TORCH := torch==(\S+)", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert version is not None
    assert f"torch=={version[1]}" in PROJECT["project"]["dependencies"]
    assert all(TORCH not in locked(name) for name in ("requirements.lock", "requirements-test.lock"))
