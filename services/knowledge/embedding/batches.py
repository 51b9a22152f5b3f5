"""Batches of token sequences: bounded by tokens, of similar length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def plan(lengths: Sequence[int], budget_tokens: int) -> Iterator[list[int]]:
    """Yield positions into `lengths`, longest first, with at most `budget_tokens` each (or a single sequence).

    The budget counts padding to the longest of a batch, so that it also bounds encoders that pad.
    """
    batch: list[int] = []
    longest = 0
    for position in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        longest = longest or lengths[position]
        if batch and longest * (len(batch) + 1) > budget_tokens:
            yield batch
            batch, longest = [], lengths[position]
        batch.append(position)
    if batch:
        yield batch
