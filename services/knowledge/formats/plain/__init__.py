"""Texts: encodings, Markdown and other markup, data, source code, subtitles."""
