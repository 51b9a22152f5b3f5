"""Allocate 100 MB in each owner of a group, in this process: `python -m tests.memory.ledger.ledger_cases GROUP`.

Prints a line of JSON for each case: its owner, its bytes, by how much that owner grew, and by how much "unnamed" did.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack

from services.core.memory_report import Owner
from services.memory.clock import Clock
from services.memory.ledger.ledger import LedgerBuilder
from tests.memory.ledger.ledger_cases.registry import MEGABYTE, c_library, cases_of


def run(group: str) -> Iterator[dict[str, object]]:
    builder = LedgerBuilder(Clock())
    for function in cases_of(group):
        builder._reporters[:] = [each for each in builder._reporters if "lambda" not in repr(each)]
        gc.collect()
        builder.build()
        with ExitStack() as closing:
            generator = function(builder)
            closing.callback(lambda generator=generator: next(generator, None))
            c_library().malloc_trim(0)
            before = builder.build()
            if (allocated := next(generator)) is None:
                gc.collect()
                c_library().malloc_trim(0)
                before = builder.build()
                allocated = next(generator)
            assert allocated is not None
            owner, size = allocated
            after = builder.build()
        assert sum(after.owners.values()) == after.rss
        grown = {str(each): after.owners[each] - before.owners[each] for each in Owner}
        yield {
            "case": function.__name__,
            "owner": str(owner),
            "bytes": size,
            "found": grown[owner],
            "grown": {name: change for name, change in grown.items() if abs(change) > MEGABYTE},
            "unnamed": grown[Owner.UNNAMED],
            "overclaimed": after.overclaimed,
        }


if __name__ == "__main__":
    for line in run(sys.argv[1]):
        print(json.dumps(line), flush=True)
