"""The policy server: an OpenAI-compatible model server whose weights are replaced while it generates.

Does: tokenizes, samples with continuous batching, answers over HTTP, swaps in published versions, reports to the
control plane. Every sampled token carries its log-probability and the policy version that sampled it.
Owns: the engine contract (`engine.py`) and its leaves, the HTTP face, nothing on disk.
May import: decoder, sdk, artifacts, telemetry, settings, errors, wire; never the control plane or another job's room.
Start reading at `engine.py`, then `engines/torch.py` and `server.py`.
"""
