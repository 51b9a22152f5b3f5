"""Plant 100 MB in each owner of a group, in this process: `python -m tests.memory.ledger.ledger_cases GROUP`.

Prints a line of JSON for each plant: its owner, its bytes, by how much that owner grew, and by how much "unnamed" did.
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
from tests.memory.ledger.ledger_cases.registry import MEGABYTE, c_library, plants_of


def run(group: str) -> Iterator[dict[str, object]]:
    accountant = LedgerBuilder(Clock())
    for function in plants_of(group):
        accountant._reporters[:] = [each for each in accountant._reporters if "lambda" not in repr(each)]
        gc.collect()
        accountant.take()
        with ExitStack() as closing:
            generator = function(accountant)
            closing.callback(lambda generator=generator: next(generator, None))
            c_library().malloc_trim(0)
            before = accountant.take()
            if (planted := next(generator)) is None:
                gc.collect()
                c_library().malloc_trim(0)
                before = accountant.take()
                planted = next(generator)
            assert planted is not None
            owner, size = planted
            after = accountant.take()
        assert sum(after.owners.values()) == after.rss
        grown = {str(each): after.owners[each] - before.owners[each] for each in Owner}
        yield {
            "plant": function.__name__,
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
