"""Sandbox hosts: the register of machines that run untrusted code for this control plane, and the use of them.

Does: keeps who is there and how loaded, spreads judging over hosts, makes and reaches interactive sandboxes on them.
Owns: the rows of hosts. May import: store, sdk, envs, sandboxes (contracts), settings, errors, wire. Knows no routes.
Start reading at `rules.py`, then `service.py` (who is there), `judging.py` and `places.py` (what they do for us).
"""
