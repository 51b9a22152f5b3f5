"""Who is there and what they may do: accounts, sessions, API tokens, groups, and grants on collections.

`Identity` (`identity.py`) is the face. The tables are in `store/`; what every request asks is kept in memory.
"""
