"""Facts of record: what happened to a run, in order, kept and replayable.

Owns: the events tables and the live stream over them. May import: store, errors, settings, wire. Does not own
metrics, which are observations and may be lost. Start reading at `service.py`.
"""
