"""Changing the embedding model of the corpus: its vectors are made anew beside the old ones, which answer meanwhile."""

from services.knowledge.model_change.model_change import ModelChange

__all__ = ["ModelChange"]
