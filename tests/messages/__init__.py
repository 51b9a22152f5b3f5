"""The catalogues of texts: extracted, compared, compiled (`make messages`) and checked."""
