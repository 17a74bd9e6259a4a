"""A follower's life, and how the leader's state becomes everyone's (see `team`)."""

import torch

from skyscale.trainer.checkpoint import Snapshot, capture, restore
from skyscale.trainer.step import Learner
from skyscale.trainer.team import Order, TensorShape


def follow(learner: Learner) -> None:
    """Do what the leader orders until it orders the end."""
    team = learner.team
    assert team is not None
    while (order := team.next_order()).kind != "end":
        if order.kind == "state":
            blanks = {each.name: torch.empty(each.shape, dtype=getattr(torch, each.dtype)) for each in order.tensors}
            restore(learner, Snapshot({name: team.broadcast(blank) for name, blank in blanks.items()}, order.num_steps))
        else:
            learner.train(order.groups, order.version)


def share_state(learner: Learner) -> None:
    """Leader: give the followers its weights, optimizer and counters; does nothing without a team."""
    team = learner.team
    if team is None:
        return
    snapshot = capture(learner)
    tensors = {name: tensor for name, tensor in snapshot.tensors.items() if name != "random/cuda"}
    shapes = [
        TensorShape(name=name, dtype=str(tensor.dtype).removeprefix("torch."), shape=list(tensor.shape))
        for name, tensor in tensors.items()
    ]
    team.order(Order(kind="state", num_steps=snapshot.num_steps, tensors=shapes))
    for tensor in tensors.values():
        team.broadcast(tensor)
