"""Environments: which problems there are, and what a program submitted for one is worth.

Owns: problem sets (`registry.py`, `problems/`) and the judging of code (`judge.py`). May import: sandboxes, artifacts,
telemetry, settings, errors, wire. Start reading at `registry.py`, then `judge.py`.
"""
