"""How a control plane's settings choose the engine of its runs' policy servers."""

import sys

from skyscale.jobs.dispatch import COMMANDS, with_policy
from skyscale.wire.jobs import JobRole


def test_another_engine_changes_the_policy_servers_command_and_no_other():
    found = with_policy(COMMANDS, engine="vllm", python="/opt/vllm/bin/python")
    assert found[JobRole.POLICY] == ("/opt/vllm/bin/python", "-m", "skyscale.policy", "--engine", "vllm")
    assert {role: found[role] for role in found if role is not JobRole.POLICY} == {
        role: COMMANDS[role] for role in COMMANDS if role is not JobRole.POLICY
    }
    assert with_policy(COMMANDS, engine="vllm", python=None)[JobRole.POLICY][0] == sys.executable


def test_the_default_leaves_every_command_as_it_is():
    assert with_policy(COMMANDS, engine="torch", python=None) == COMMANDS
