"""Real leaks and harmless look-alikes, each in a child process with the real service and a clock moved by hand."""

from tests.benchmarks.leaks.real.runner import run_all

__all__ = ["run_all"]
