"""Encoders computed by ONNX Runtime, without torch, from weights that a child process prepares once."""
