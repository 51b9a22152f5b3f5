"""`make messages`: extracts the texts, brings the catalogues up to date, makes the traditional one, compiles both.

With `--check` it writes nothing and ends with 1 if something is missing.
"""

from __future__ import annotations

import sys
from pathlib import Path

from services.core.languages import SIMPLIFIED, TRADITIONAL
from tests.messages.catalogues import compiled, compiled_path, faults, read, source_path, traditional, updated, written


def files() -> dict[Path, bytes]:
    """Return every file of the catalogues as it should be."""
    simplified = updated(read(SIMPLIFIED))
    made: dict[Path, bytes] = {}
    for language, catalog in ((SIMPLIFIED, simplified), (TRADITIONAL, traditional(simplified))):
        made[source_path(language)] = written(catalog)
        made[compiled_path(language)] = compiled(catalog)
    return made


def main() -> int:
    """Write the files; return 1 if a text lacks its translation."""
    check = "--check" in sys.argv
    stale = []
    for path, content in files().items():
        if not path.exists() or path.read_bytes() != content:
            stale.append(path)
            if not check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                print(f"written: {path.name} of {path.parts[-3]}")
    found = faults(updated(read(SIMPLIFIED)))
    print("\n".join(found) or "every text has its translation")
    return 1 if found or (check and stale) else 0


if __name__ == "__main__":
    sys.exit(main())
