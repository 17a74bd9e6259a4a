"""Environments: problems, the tests that decide the reward, and the judge that turns code into a verdict.

Runs' own environments (`environments.py`): reward files and Python files in sandboxes, services over HTTP.
Owns: `registry.py` and `problems/` (what can be asked), `assertions.py` (test lines as data), `judge.py` (code in,
verdict out). May import: sandboxes, artifacts, telemetry, settings, errors, wire. Knows nothing of runs, tickets, HTTP
or the database. Start reading at `judge.py`.
"""
