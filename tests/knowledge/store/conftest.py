from tests.databases import both_engines

__all__ = ["both_engines"]
