"""A run's life from created to done.

Owns: runs, published policy versions, training metrics, the coordinator. May import: episodes, jobs, buffer, auth,
events, store, settings, errors, wire. Does not start processes (`jobs`) nor hand out work (`episodes`, `buffer`):
it says what is wanted. Start reading at `rules.py`, then `coordinator.py`.
"""
