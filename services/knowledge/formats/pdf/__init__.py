"""PDF: text, tables, forms, pictures of pages."""
