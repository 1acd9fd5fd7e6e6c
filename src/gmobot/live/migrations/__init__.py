"""The steps of the state database's schema, in order of their numbers."""
