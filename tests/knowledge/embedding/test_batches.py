from __future__ import annotations

from hypothesis import given, strategies

from services.knowledge.embedding.embedder import plan_batches

BUDGET = 640


@given(strategies.lists(strategies.integers(1, 1000), max_size=300))
def test_batches_hold_every_text_once_within_the_budget(lengths: list[int]) -> None:
    """Every text is in exactly one batch, and no batch of several texts is over the budget, padding included."""
    batches = list(plan_batches(lengths, BUDGET))
    assert sorted(position for batch in batches for position in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or max(lengths[i] for i in batch) * len(batch) <= BUDGET


def test_texts_of_like_length_share_a_batch() -> None:
    """Long and short texts are not mixed while there are others of their length."""
    assert list(plan_batches([10, 300, 10, 300], BUDGET)) == [[1, 3], [0, 2]]
