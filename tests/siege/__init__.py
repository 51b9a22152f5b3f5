"""Attacks on a running server, each longer than a test may be: `make siege`.

A module `siege_NAME.py` holds one attack: `run(report)` starts a real server on a folder of its own, attacks it, and
calls `report` once for each figure. Short forms of the same attacks are tests; they use the same code.
"""
