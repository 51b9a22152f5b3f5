"""All SQL of identity: its tables and the statements over them."""
