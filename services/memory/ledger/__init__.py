"""Who owns the bytes of RSS."""
