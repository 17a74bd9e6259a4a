"""Sandboxes: run code that nobody trusts and bring back values, never verdicts.

Owns: the contract (`sandbox.py`), the backends, the leaf table (`loading.py`). May import: wire, errors, settings,
telemetry. Knows nothing of problems, rewards, runs or HTTP. Start reading at `sandbox.py`.
"""
