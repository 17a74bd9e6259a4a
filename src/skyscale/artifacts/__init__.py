"""Bytes that outlive processes: published policy versions and training checkpoints.

Owns: the store contract (`store.py`), its leaves (`stores/`), the layout of version folders (`versions.py`).
May import: telemetry, settings, errors, wire. Knows nothing of models: a folder is files with names, sizes and hashes.
Start reading at `store.py`.
"""
