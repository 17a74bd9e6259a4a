"""Engines: ways to sample tokens. Leaves are loaded by name from `policy.loading` and never imported."""
