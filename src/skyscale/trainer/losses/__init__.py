"""Terms of the objective, one file per formula: pure functions of tensors, no model, no state.

Start at `objective.py`, which puts them together as an `Algorithm` says; `trainer.step` calls it and nothing else here.
Letters: N completion tokens of a micro-batch, S its sequences.
"""
