"""Which objects live, which grow, and what holds them."""
