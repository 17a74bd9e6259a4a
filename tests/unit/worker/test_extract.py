"""What counts as the program in a completion."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyscale.worker.extract import extract_code

CASES = {
    "bare code": ("def f():\n    return 1\n", "def f():\n    return 1\n"),
    "one block": ("Here:\n```python\nx = 1\n```\nDone.", "x = 1\n"),
    "the last block of two": ("```python\nold\n```\nBetter:\n```python\nnew\n```", "new\n"),
    "a block without a language": ("```\nx = 1\n```", "x = 1\n"),
    "py and capitals": ("```PY\nx = 1\n```", "x = 1\n"),
    "other languages are not programs": ("```python\nx = 1\n```\nprints\n```text\n1\n```", "x = 1\n"),
    "only another language": ("```json\n{}\n```", "```json\n{}\n```"),
    "never closed": ("```python\nx = 1\ny =", "x = 1\ny ="),
    "thinking is not the answer": ("<think>maybe\n```python\nno\n```\n</think>\n```python\nyes\n```", "yes\n"),
    "thinking before bare code": ("<think>hm</think>x = 1", "x = 1"),
    "blocks in thoughts do not win": ("<think>```python\nno\n```</think>x = 2", "x = 2"),
    "white space stays": ("```python\n\n  x = 1  \n\n```", "\n  x = 1  \n\n"),
    "windows line ends stay": ("```python\r\nx = 1\r\n```", "x = 1\r\n"),
    "fences inside a line are text": ("s = '```'\n", "s = '```'\n"),
    "an indented block is not dedented": ("  ```python\n  x = 1\n  ```", "  x = 1\n"),
    "an empty block is an empty program": ("```python\n```", ""),
    "nothing": ("", ""),
}


@pytest.mark.parametrize(("text", "code"), CASES.values(), ids=CASES.keys())
def test_extraction_table(text: str, code: str):
    assert extract_code(text) == code


@given(st.text())
def test_the_program_is_always_a_piece_of_the_text_as_written(text: str):
    assert extract_code(text) in text


@given(st.text(alphabet="abc =\n().:'\"", min_size=1).filter(lambda code: "```" not in code))
def test_a_fenced_program_comes_back_unchanged(code: str):
    assert extract_code(f"Sure!\n```python\n{code}\n```\nbye") == f"{code}\n"
