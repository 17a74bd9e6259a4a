"""Modal sandboxes; start reading in `provider.py`."""
