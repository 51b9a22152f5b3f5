"""Encoders computed by ONNX Runtime, without torch: weights prepared once by a child process, mapped and shared."""
