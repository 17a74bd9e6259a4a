"""Observations that may be lost: metrics, logs and traces.

Owns: the names of all metrics. May import: settings, errors, wire. An observation never decides anything; facts of
record are `events`. Start reading at `metrics.py`.
"""
