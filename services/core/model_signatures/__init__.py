"""Signatures of model files: with `MILLPOND_MODEL_KEY` only what its owner has signed is loaded."""
