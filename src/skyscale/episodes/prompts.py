"""The chat that a policy is shown for a problem."""

from skyscale.wire.problems import Problem


def messages_of(problem: Problem) -> list[dict[str, str]]:
    """One user message and no system message: small models learn faster from a short, constant shape."""
    return [{"role": "user", "content": problem.prompt}]
