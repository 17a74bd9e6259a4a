"""The family tables, one file per kind of value.

A row is an operation template; rows marked `heldout` are never trained on.
Every held-out row recombines operations that trained rows use, so what it asks is new and its parts are not.
Start reading at `numbers.py`.
"""
