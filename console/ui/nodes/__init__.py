"""The page "Nodes"."""
