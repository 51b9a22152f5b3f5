"""Tokens of the embedding model: what it reads of a text, and how much of it."""
