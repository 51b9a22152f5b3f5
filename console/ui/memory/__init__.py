"""Views of the page "Memory": verdict, ledger, charts and details."""
