"""Splitting of text: chunks, sentences, terms. Imported by parser children: no heavy imports."""
