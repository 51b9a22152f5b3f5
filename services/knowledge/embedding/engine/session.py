"""One ONNX Runtime session: on the calling thread, with nothing kept between calls but its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from services.core.onnx_runtime import import_onnx_runtime

if TYPE_CHECKING:
    from pathlib import Path

    from onnxruntime import InferenceSession


INPUT, APART, OUTPUT = "embedded", "apart", "encoded"  # of every graph
ALONE = np.empty((1, 1, 0, 0), dtype=np.float32)  # where nothing is to be kept apart


def open_session(model: Path | bytes) -> InferenceSession:
    """Return a session over a graph, given as a file or serialised.

    It computes on the thread that calls it: several threads with one core each beat one operation spread over the
    cores. No patterns of memory are remembered, since each length of text would leave one.
    """
    onnxruntime = import_onnx_runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_mem_pattern = False
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3  # errors
    # Beyond this, layer normalisation would be fused; see `graph`.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    source = model if isinstance(model, bytes) else str(model)
    session: InferenceSession = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    return session
