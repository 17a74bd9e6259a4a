"""The experience buffer: admission, durable pushes, leases, staleness.

Does: keeps every group of episodes from its ticket to the policy version that was trained on it.
Owns: the states of groups and leases, slots, the push transaction. May import: events, store, envs, settings, wire.
Start reading at `rules.py` (the drawing), then `service.py`; `writer.py` is the hot path.
"""
