"""Text in pieces: chunks, sentences, terms. No heavy imports: the parser child reads this, too."""
