"""The words of the product: every shape that crosses a process border.

Owns: request and reply models, states, identifiers. May import: pydantic and nothing of ours.
Requests forbid unknown fields; replies are read leniently, so a server may grow.
Start reading at `runs.py`, then follow the data: `episodes.py`, `batches.py`, `policies.py`.
"""
