"""The logger of a run: copies its numbers to Weights & Biases, TensorBoard or both.

Does: follows the run over HTTP from a process of its own, so that a slow or broken logger never holds up training.
Owns: the files and runs that it writes. May import: sdk, artifacts, settings, errors, wire; sinks load their package.
Start reading at `follow.py`, then `sink.py`.
"""
