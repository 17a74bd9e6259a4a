"""The rollout worker: plays groups of episodes, as many at once as it is told, over HTTP alone.

Ticket -> completions from the policy server -> code -> verdicts from the environment -> push into the buffer.
Owns: groups in flight, code extraction, the mapping of verdicts and tokens to trajectories.
May import: sdk, settings, errors, wire. No torch, no database. Start reading at `loop.py`, then `player.py`.
"""
