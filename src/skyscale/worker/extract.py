"""From a completion to the program in it. Pure; the completion itself stays the record and is never changed.

1. What follows the last `</think>` is the answer; without one, all of the text is.
2. The answer's last Python block (fence without a language, or python, py, python3) is the program. A block that is
   never closed, as in a truncated completion, reaches to the end.
3. Without a block, the answer is the program.

Nothing is dedented, completed or repaired: a policy must learn to write what runs.
"""

FENCE = "```"
LANGUAGES = ("", "python", "py", "python3")
THINK_END = "</think>"


def extract_code(text: str) -> str:
    """The program in a completion, character for character."""
    _, _, after = text.rpartition(THINK_END)
    blocks = _python_blocks(after)
    return blocks[-1] if blocks else after


def _python_blocks(text: str) -> list[str]:
    blocks: list[str] = []
    current: list[str] | None = None
    is_python = False
    for line in text.splitlines(keepends=True):
        mark = line.strip()
        if current is None:
            if mark.startswith(FENCE):
                current, is_python = [], mark.removeprefix(FENCE).strip().lower() in LANGUAGES
        elif mark == FENCE:
            blocks += ["".join(current)] if is_python else []
            current = None
        else:
            current.append(line)
    if current and is_python:
        blocks.append("".join(current))
    return blocks
