"""The environment service: tickets for groups, single episodes, verdicts, evaluations.

Does: decides which problem is played next, judges submitted code, sums up evaluations. Owns: the order of problems,
single episodes, the verdict cache. May import: buffer, events, store, envs, settings, wire.
Start reading at `rules.py`, then `service.py` (groups) and `missions.py` (single episodes).
"""
