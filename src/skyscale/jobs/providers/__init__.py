"""Leaves of the provider contract, one file each; `jobs/loading.py` loads them by name and nothing imports them."""
