"""Objects: which types grow, and what holds them."""
