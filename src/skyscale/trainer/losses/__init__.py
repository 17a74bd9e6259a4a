"""Per-token terms of the objective, one file per formula; pure functions of tensors, summed up in `trainer.step`."""
