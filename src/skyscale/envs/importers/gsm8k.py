"""GSM8K (arXiv:2110.14168) and sets of its shape: `question`, and `answer` whose last line is `#### number`."""

from hashlib import sha256

from skyscale.envs.answers import number_of
from skyscale.envs.importers.rows import Line, Row, id_of, text_of


def convert(row: Row) -> Line:
    """One problem. Raises ValueError."""
    question, worked = text_of(row, "question", "problem"), text_of(row, "answer", "solution")
    _, marked, final = worked.rpartition("####")
    answer = final.strip()
    if number_of(answer) is None:
        raise ValueError(f"the answer is no number: {answer[:80]!r}")
    raw_id = row.get("id", sha256(question.encode()).hexdigest()[:12])
    line: Line = {
        "id": id_of("gsm8k", raw_id),
        "prompt": question.strip() + "\nThink step by step. End with the answer after `####`.",
        "style": "answer",
        "answer": answer,
        "answer_kind": "number",
        "tags": ["gsm8k"],
    }
    return line | ({"solution": worked} if marked else {})
