"""ONNX Runtime, imported in one place: as distributed it would report its use to its maker."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any


def import_onnx_runtime() -> Any:
    """Return the module `onnxruntime`, which sends nothing and keeps no identifier of this machine.

    Its packages for Linux and macOS (1.29 and later) report what is computed with them unless this variable is set
    before the import: https://github.com/microsoft/onnxruntime/blob/main/docs/Privacy.md
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    module = import_module("onnxruntime")
    module.disable_telemetry_events()  # Windows, whose packages do not look at the variable
    return module
