"""Strategies: the declaration, the loader with its compile cache, and examples worth copying."""
