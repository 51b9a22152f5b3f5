"""The layers of a BERT-like encoder as an ONNX graph: (sequences, tokens, d) in, the same shape out, without padding.

All sequences of a call have the same length, so that attention needs no mask and runs blockwise. Short texts of
different lengths are put into one sequence, one after the other; then a second input keeps them apart: for each pair
of tokens 0 within a text and a large negative number between two, (1, 1, tokens, tokens); else it is empty. Layer
normalisation is ONNX's own operator: the fused one of ONNX Runtime takes five times as long, which is why sessions must
not fuse (`ORT_ENABLE_BASIC`).

Eight bits: weights are rounded for each output, activations at run time by one scale for a whole call
(`DynamicQuantizeMatMul`), which a few channels with very large values would coarsen. So the scale of each channel is
moved into the weights as far as that helps (Xiao et al., SmoothQuant, https://arxiv.org/abs/2211.10438), and the few
channels with the largest values are computed in float32 (Dettmers et al., LLM.int8(),
https://arxiv.org/abs/2208.07339).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from services.knowledge.embedding.engine.bert_weights import Affine, Array, BertWeights, Norm
from services.knowledge.embedding.engine.session import APART, INPUT, OUTPUT

OPSET = 21
IR_VERSION = 10
CONTRIB = "com.microsoft"
# How much of a channel's range moves into the weights, and how many channels of the feed-forward layers stay exact.
SHARE_OF_ACTIVATIONS = 0.7
EXACT_CHANNELS = 16
_LEAST = 1e-5

# The largest absolute value of each input channel, by the name of the linear layer.
Ranges = Mapping[str, Array]


class Graph:
    """A graph that is being put together; `taps` are the inputs of its linear layers, by layer."""

    def __init__(self, ranges: Ranges | None = None) -> None:
        """Compute in float32 without `ranges`, else in 8 bits by them."""
        self._ranges = ranges
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self.taps: dict[str, str] = {}

    def model(self, weights: BertWeights, *, tapped: bool = False) -> onnx.ModelProto:
        """Return the whole encoder after its embeddings; `tapped`: the inputs of linear layers are outputs, too."""
        width = weights.positions.shape[1]
        hidden = INPUT
        self._together = self._node("Greater", [self._node("Size", [APART]), self._constant(np.array(0, np.int64))])
        for number, layer in enumerate(weights.layers):
            name = f"layer{number}"
            mixed = self._linear(f"{name}.mixed", hidden, layer.mixed)
            query, key, value = self._split(mixed, width)
            attended = self._attended(query, key, value, weights.heads)
            attended = self._linear(f"{name}.attention_out", attended, layer.attention_out)
            hidden = self._normalised(self._node("Add", [hidden, attended]), layer.attention_norm, weights.epsilon)
            wide = self._node("Gelu", [self._linear(f"{name}.up", hidden, layer.up, EXACT_CHANNELS)])
            narrow = self._linear(f"{name}.down", wide, layer.down, EXACT_CHANNELS)
            hidden = self._normalised(self._node("Add", [hidden, narrow]), layer.norm, weights.epsilon)
        self._nodes.append(helper.make_node("Identity", [hidden], [OUTPUT]))
        shape = ["sequences", "tokens", width]
        outputs = [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, shape)]
        if tapped:
            inner = [tap for tap in dict.fromkeys(self.taps.values()) if tap != INPUT]
            outputs += [helper.make_tensor_value_info(tap, TensorProto.FLOAT, None) for tap in inner]
        graph = helper.make_graph(
            self._nodes,
            "encoder",
            [
                helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape),
                helper.make_tensor_value_info(APART, TensorProto.FLOAT, [1, 1, "row", "column"]),
            ],
            outputs,
            self._constants,
        )
        versions = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
        return helper.make_model(graph, opset_imports=versions, ir_version=IR_VERSION)

    def _attended(self, query: str, key: str, value: str, heads: int) -> str:
        """Return the attention of each sequence to itself; with `APART`, of the texts that one sequence is made of."""
        output = f"value{len(self._nodes)}"
        branches = []
        for name, inputs in (("together", [query, key, value, "", "", APART]), ("alone", [query, key, value])):
            node = helper.make_node("MultiHeadAttention", inputs, [f"{output}.{name}"], domain=CONTRIB, num_heads=heads)
            result = helper.make_tensor_value_info(f"{output}.{name}", TensorProto.FLOAT, None)
            branches.append(helper.make_graph([node], name, [], [result]))
        together, alone = branches
        self._nodes.append(helper.make_node("If", [self._together], [output], then_branch=together, else_branch=alone))
        return output

    def _linear(self, name: str, x: str, affine: Affine, exact: int = 0) -> str:
        self.taps[name] = x
        if self._ranges is None:
            product = self._node("MatMul", [x, self._constant(affine.weight.T)])
            return self._node("Add", [product, self._constant(affine.bias)])
        largest = np.maximum(self._ranges[name], _LEAST)
        kept = np.ones(len(largest), dtype=bool)
        outliers = np.sort(np.argsort(-largest)[: min(exact, len(largest) // 8)])
        kept[outliers] = False
        weights = np.maximum(np.abs(affine.weight).max(axis=0), _LEAST)
        scale = largest**SHARE_OF_ACTIVATIONS / weights ** (1 - SHARE_OF_ACTIVATIONS)
        scale /= np.exp(np.log(scale[kept]).mean())
        levelled = self._node("Mul", [x, self._constant((kept / scale).astype(np.float32))])
        product = self._rounded(levelled, affine.weight * (scale * kept), affine.bias)
        if not len(outliers):
            return product
        few = self._node("Gather", [x, self._constant(outliers.astype(np.int64))], axis=2)
        added = self._node("MatMul", [few, self._constant(affine.weight[:, outliers].T)])
        return self._node("Add", [product, added])

    def _rounded(self, x: str, weight: Array, bias: Array) -> str:
        steps = np.maximum(np.abs(weight).max(axis=1), _LEAST) / 127
        rounded = np.clip(np.rint(weight / steps[:, None]), -127, 127).astype(np.int8)
        scales = self._constant(steps.astype(np.float32))
        return self._node(
            "DynamicQuantizeMatMul", [x, self._constant(rounded.T), scales, "", self._constant(bias)], CONTRIB
        )

    def _split(self, mixed: str, width: int) -> list[str]:
        names = [f"{mixed}.{part}" for part in ("query", "key", "value")]
        sizes = self._constant(np.full(3, width, dtype=np.int64))
        self._nodes.append(helper.make_node("Split", [mixed, sizes], names, axis=2))
        return names

    def _normalised(self, x: str, norm: Norm, epsilon: float) -> str:
        return self._node(
            "LayerNormalization",
            [x, self._constant(norm.scale), self._constant(norm.shift)],
            axis=-1,
            epsilon=epsilon,
        )

    def _node(self, operator: str, inputs: list[str], domain: str = "", **attributes: Any) -> str:
        output = f"value{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [output], domain=domain, **attributes))
        return output

    def _constant(self, array: NDArray[Any]) -> str:
        name = f"constant{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name
