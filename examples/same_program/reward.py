"""A reward file: the reference program, however it is laid out. Parts are recorded one by one and add up to the reward.

    skyscale runs create --reward examples/same_program/reward.py

`task` is the problem as JSON, tests and solution included; `completion` is the model's answer. It is only looked at
here, never executed: code of the model does not run in the process that decides its reward.
"""

import ast


def tree_of(program: str) -> ast.Module | None:
    """The program without its spaces, comments and brackets; None if it is not Python."""
    try:
        return ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def reward(task: dict, completion: str) -> dict:
    """A fifth for a program that defines what was asked for, the rest if it is the reference solution."""
    tree = tree_of(completion.strip().removeprefix("```python").removesuffix("```"))
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)} if tree else set()
    if tree is None or not tree.body or task["entry_point"] not in {*names, None}:
        return {"defined": 0.0, "same": 0.0}
    same = ast.dump(tree) == ast.dump(ast.parse(task["solution"]))
    return {"defined": 0.2, "same": 0.8 * same}
