"""`kill -9` of the whole server: at points with a name, and at random moments.

`points.py` names the points, `tests.consoles.killed` is the console that ends there. `life.py` starts and kills it,
`world.py` is the ledger of what was acknowledged, `client.py` the people at work, `audit.py` what is looked at after
the next start. `scenes.py` brings a server to each point. Short forms are tests here; `tests.siege.siege_kills` has
the long one.
"""
