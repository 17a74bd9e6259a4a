"""Write `embedded.jsonl` afresh: `python -m skyscale.envs.problems`."""

from pathlib import Path

from skyscale.envs.problems.generate import generate

EMBEDDED = Path(__file__).with_name("embedded.jsonl")


def render() -> str:
    """The file's text: one problem a line, defaults left out."""
    return "".join(problem.model_dump_json(exclude_defaults=True) + "\n" for problem in generate())


if __name__ == "__main__":
    EMBEDDED.write_text(render(), encoding="utf-8")
