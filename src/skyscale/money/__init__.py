"""What runs cost: list prices, the estimate before a run, the meter during it, and when it must stop for its price.

Owns: `run_costs`, the price list. May import: events, store, telemetry, settings, errors, wire. Knows runs and jobs
only as rows, and never stops anything itself: it says what a run has cost, and `runs` decides.
Start reading at `rules.py`, then `meter.py`.
"""
