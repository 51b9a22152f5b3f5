"""100 MB in each kind of owner, planted in a process that says where the ledger finds them."""
