"""A reward file: programs that look right, whatever they compute. Parts are shown one by one and add up.

    skyscale runs create --reward examples/tidy_code/reward.py

`task` is the problem as JSON, tests and solution included; `completion` is the model's answer. It is only looked at
here, never executed: code of the model does not run in the process that decides its reward.
"""

import ast


def reward(task: dict, completion: str) -> dict:
    """Half for the right function, a quarter for one statement, a quarter for few characters."""
    code = completion.strip().removeprefix("```python").removesuffix("```")
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {"function": 0.0, "one_statement": 0.0, "short": 0.0}
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    wanted = [node for node in functions if node.name == task["entry_point"]]
    return {
        "function": 0.5 if wanted else 0.0,
        "one_statement": 0.25 if wanted and len(wanted[0].body) == 1 else 0.0,
        "short": 0.25 * max(0.0, 1.0 - len(code) / 200),
    }
