"""Answers that are judged by comparison alone: the last answer in a text against the right one. Pure, linear time.

The answer of a text is, in this order, of what follows the last `</think>`:
1. what stands on the line of the last `####`;
2. what the last `\\boxed{...}` holds;
3. what follows the last `answer is` or `answer:` on its line;
4. for `number` the last number, for `text` the last line that is not blank.

A number may have a sign, thousands separators, a fraction (`3/4`), a decimal part, an exponent, a currency sign before
it and a percent sign or a full stop after it. Numbers are compared exactly: `18`, `18.0` and `36/2` are one, `0.333`
and `1/3` are not. Texts are compared without regard to case, white space, surrounding quotes and a full stop at the
end.
"""

import re
from fractions import Fraction

from skyscale.wire.problems import Problem

MAX_DIGITS = 400
"""A longer number is no number: nobody's answer has so many digits, and exact arithmetic on them would cost."""
_MAX_EXPONENT = 100
_THINK_END = "</think>"
_PHRASE = re.compile(r"\banswer\s*(?:is|:)\s*:?", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)?(?:\.\d+|(?<=\d)\.)?(?:[eE][-+]?\d{1,3}(?!\d))?(?:/\d+)?")


def is_right(problem: Problem, text: str) -> bool:
    """Whether the text's answer is the problem's."""
    given = answer_of(text, problem.answer_kind)
    if problem.answer_kind == "number":
        expected = number_of(problem.answer)
        return expected is not None and given != "" and number_of(given) == expected
    return given != "" and _plain(given) == _plain(problem.answer)


def answer_of(text: str, kind: str) -> str:
    """The answer that a text gives; empty when it gives none."""
    _, _, text = text.rpartition(_THINK_END)
    marked = _after_hashes(text) or _boxed(text) or _after_phrase(text)
    if kind == "number":
        return last_number(marked) or last_number(text)
    return marked or next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def last_number(text: str) -> str:
    """The last number in a text, as it is written; empty when there is none."""
    found = ""
    for match in _NUMBER.finditer(text):
        if any(character.isdigit() for character in match.group()):
            found = match.group()
    return found


def number_of(text: str) -> Fraction | None:
    """The exact value of a number as people write it; None for anything else."""
    bare = text.strip().strip("$€£% ").rstrip(".").replace(",", "").replace(" ", "")
    if not bare or len(bare) > MAX_DIGITS or not _NUMBER.fullmatch(bare):
        return None
    _, _, exponent = bare.lower().partition("e")
    try:
        if exponent and abs(int(exponent.partition("/")[0])) > _MAX_EXPONENT:
            return None
        above, _, below = bare.partition("/")
        return Fraction(above.rstrip(".")) / (int(below) if below else 1)
    except (ValueError, ZeroDivisionError):
        return None


def _after_hashes(text: str) -> str:
    _, found, after = text.rpartition("####")
    return after.strip().split("\n", 1)[0].strip() if found else ""


def _boxed(text: str) -> str:
    start = text.rfind("\\boxed{")
    if start < 0:
        return ""
    depth, begin = 1, start + len("\\boxed{")
    for place in range(begin, len(text)):
        depth += (text[place] == "{") - (text[place] == "}")
        if depth == 0:
            return text[begin:place].strip()
    return ""


def _after_phrase(text: str) -> str:
    ends = [match.end() for match in _PHRASE.finditer(text)]
    return text[ends[-1] :].strip().split("\n", 1)[0].strip() if ends else ""


def _plain(text: str) -> str:
    return " ".join(text.split()).strip("\"'` ").rstrip(".").strip("\"'` ").casefold()
