"""The trainer: leases groups, takes an optimizer step on each batch, checkpoints, publishes the new policy version.

Owns: losses, advantages, packing, the step, the optimizer, checkpoints and the crash rules. May import: decoder, sdk,
artifacts, telemetry, settings, errors, wire. Never opens the database. Start reading at `loop.py`, then `step.py`.
"""
