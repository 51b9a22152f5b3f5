"""Start the naive server: `python -m tests.soak.baseline FOLDER`. It prints its address."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.soak.baseline.server import serve

if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "")
