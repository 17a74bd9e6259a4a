"""What is looked at before a batch is trained on, because later it would be an index error or worse."""

from skyscale.errors import SkyscaleError
from skyscale.wire.batches import LeasedGroup


def require_known_tokens(groups: list[LeasedGroup], vocab_size: int) -> None:
    """Refuse token ids that the trainer's model does not have: engine and trainer serve different vocabularies.

    Raises:
        SkyscaleError: with the code `vocabulary_mismatch`; training cannot go on.
    """
    for group in groups:
        for ids in (group.prompt_ids, *(t.completion_ids for t in group.trajectories)):
            if ids and not 0 <= min(ids) <= max(ids) < vocab_size:
                raise SkyscaleError(
                    f"group {group.group_id} has token id {max(ids)}, and the trainer's model has {vocab_size} tokens",
                    code="vocabulary_mismatch",
                    hint="Engine and trainer must load the same base_model; restart the run with one for both.",
                )
