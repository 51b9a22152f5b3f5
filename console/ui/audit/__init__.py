"""Views of the page "Audit": the state of the chain, filters, records, export."""
