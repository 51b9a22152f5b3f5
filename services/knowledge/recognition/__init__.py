"""Text recognition (OCR): the engine, what it finds in a picture, in which order that is read, where words are."""
