"""Interactive sandboxes: who has which, how long, how many; running programs in them and moving files.

Owns: rows of `sandboxes`, the live workspaces of this control plane, quotas, expiry, what a crash left behind.
May import: store, sandboxes (the contract, leaves by name), settings, errors, wire. Knows nothing of problems, rewards
or runs. Start reading at `service.py`, then `rules.py`.
"""
