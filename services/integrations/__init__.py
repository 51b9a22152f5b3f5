"""Interfaces of other projects: LangChain, and the import of knowledge bases."""
