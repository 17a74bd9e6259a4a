"""A follower's life, and how the leader's state becomes everyone's (see `team`)."""

from collections.abc import Callable

import torch

from skyscale.trainer.checkpoint import Snapshot, overwrite, whole_tensors
from skyscale.trainer.step import Learner
from skyscale.trainer.team import Order, TensorShape


def follow(make_learner: Callable[[], Learner]) -> None:
    """Do what the leader orders until it orders the end."""
    learner = make_learner()
    team = learner.team
    assert team is not None
    while (order := team.next_order()).kind != "end":
        if order.kind == "train":
            learner.train(order.groups, order.version)
        elif order.kind == "capture":
            for _ in whole_tensors(learner):
                pass  # It is gathered by being iterated over; only the leader keeps it.
        elif order.kind == "base":
            # Two of them may not fit.
            del learner
            learner = make_learner()
        else:
            blanks = ((e.name, torch.empty(e.shape, dtype=getattr(torch, e.dtype))) for e in order.tensors)
            overwrite(learner, ((name, team.broadcast(blank)) for name, blank in blanks), order.num_steps)


def share_state(learner: Learner, snapshot: Snapshot) -> None:
    """Leader: give the followers what it has been restored from; does nothing without a team."""
    team = learner.team
    if team is None:
        return
    tensors = {name: tensor for name, tensor in snapshot.tensors.items() if name != "random/cuda"}
    shapes = [
        TensorShape(name=name, dtype=str(tensor.dtype).removeprefix("torch."), shape=list(tensor.shape))
        for name, tensor in tensors.items()
    ]
    team.order(Order(kind="state", num_steps=snapshot.num_steps, tensors=shapes))
    for tensor in tensors.values():
        team.broadcast(tensor)
