"""Numbers that no database column holds are refused by the wire's own types.

What arrives is written together with what others sent: there it would be their trouble too.
"""

import pytest
from pydantic import ValidationError

from skyscale.wire.base import Request
from skyscale.wire.batches import TrajectoryPush
from skyscale.wire.jobs import Heartbeat
from skyscale.wire.policies import PolicyPublish

PUSH = {"run_id": "rl-1", "problem_id": "p", "prompt": "", "code": "", "reward": 0.5}
PUBLISH = {"parent": 0, "manifest_uri": "file:///m", "manifest_sha256": "0" * 64, "lease_ids": []}


@pytest.mark.parametrize("number", [-1, 2**31, 2**70])
@pytest.mark.parametrize(
    ("kind", "field", "others"),
    [(Heartbeat, "policy_version", {}), (TrajectoryPush, "step_n", PUSH), (PolicyPublish, "version", PUBLISH)],
)
def test_what_no_column_holds_is_refused(
    kind: type[Request], field: str, others: dict[str, object], number: int
) -> None:
    assert getattr(kind.model_validate(others | {field: 2**31 - 1}), field) == 2**31 - 1
    with pytest.raises(ValidationError, match=field):
        kind.model_validate(others | {field: number})
