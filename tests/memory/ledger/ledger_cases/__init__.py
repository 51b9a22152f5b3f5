"""Cases that allocate 100 MB in each kind of owner, in a process that reports where the ledger finds them."""
