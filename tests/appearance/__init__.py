"""How the pages look and read: boxes that are cut or covered, and what axe finds, on every page of a filled console."""
