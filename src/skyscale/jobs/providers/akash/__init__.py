"""Akash deployments through the Console API; start reading in `provider.py`."""
