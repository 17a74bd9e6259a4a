"""A reward file: short programs, whatever they compute. Parts are recorded one by one and add up to the reward.

    skyscale runs create --reward examples/tidy_code/reward.py

`task` is the problem as JSON, tests and solution included; `completion` is the model's answer. It is only looked at
here, never executed: code of the model does not run in the process that decides its reward.
"""

import ast


def reward(task: dict, completion: str) -> dict:
    """Half for a program that defines what was asked for, up to half for few characters."""
    code = completion.strip().removeprefix("```python").removesuffix("```")
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {"defined": 0.0, "short": 0.0}
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    if not code or task["entry_point"] not in {*names, None}:
        return {"defined": 0.0, "short": 0.0}
    return {"defined": 0.5, "short": 0.5 * max(0.0, 1.0 - len(code) / 100)}
