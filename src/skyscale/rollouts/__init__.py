"""Rollouts kept and read: what the model wrote and what came of it, from the payloads that training reads anyway.

Does: lists, shows, searches and exports groups; notes verdicts in detail in the background; sweeps old content.
Owns: `rollout_verdicts`, the retention rule. May import: buffer, store, envs, artifacts, settings, errors, wire.
Nothing here holds up a push: notes are dropped before anything waits. Start reading at `rules.py`, then `service.py`.
"""
