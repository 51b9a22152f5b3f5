"""Print a lock file without some packages: `lock.py requirements.lock names.txt`, a name a line, # begins a comment.

The standard library alone: it runs before anything is installed.
"""

import re
import sys
from pathlib import Path


def names_of(text: str) -> set[str]:
    """Return the names of a list, one a line."""
    lines = (line.split("#", maxsplit=1)[0].strip() for line in text.splitlines())
    return {canonical(line) for line in lines if line}


def without(lock: str, names: set[str]) -> str:
    """Return a lock file without the entries of `names`; an entry is a line and those that it continues in."""
    entries = re.split(r"(?m)^(?=[A-Za-z0-9])", lock)
    return "".join(entry for entry in entries if canonical(re.split(r"[^A-Za-z0-9._-]", entry)[0]) not in names)


def canonical(name: str) -> str:
    """Return a name as indexes compare it (https://packaging.python.org/en/latest/specifications/name-normalization/)."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    lock_file, name_file = (Path(argument).read_text() for argument in sys.argv[1:])
    sys.stdout.write(without(lock_file, names_of(name_file)))
