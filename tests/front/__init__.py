"""Several nodes behind a front: the configurations of `deploy`, run as they are but for addresses and paths.

`fronts.py` runs HAProxy and nginx, `nodes.py` real Millpond nodes, `stand_ins.py` servers that do one thing at a node's
place. `asking.py` are clients that ask all the while and remember what became of it, `pages.py` a page's WebSocket,
`browser.py` a real browser; `faults.py` brings it together. Short forms are tests in `tests/deploy`;
`python -m tests.front` (`make front`) measures over several rounds.
"""
