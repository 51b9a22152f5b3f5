"""Backups of a data folder: made while it is in use, verified, restored into an empty folder."""
