"""A set of documents by many programs, each with words that must be found in its text again.

`python -m tests.document_set` writes it anew; the tests read the archive in `tests/fixtures`.
"""
