"""The history on disk: a file of fixed size, whose rows are replaced in place.

`seconds` is a journal: the newest samples, one row each, all columns in one blob. `blocks` has the merged tiers: a row
for a column and a stretch of time, so that a window of some columns reads only these. A row's place follows from its
number; what a former lap left there bears another number and is not read. `names` says which column is which, so that
columns can be added later.
"""

from services.memory.history.store import HistoryStore

__all__ = ["HistoryStore"]
