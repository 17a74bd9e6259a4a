"""Leaves of the store contract, one file per kind of storage; loaded by name from the table in `store.py`."""
