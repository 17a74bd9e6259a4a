"""What is new in a log of which only the end is seen."""

from skyscale.jobs.tailing import new_part


def test_what_is_new_in_a_log() -> None:
    assert new_part("", "abc") == "abc"
    assert new_part("abc", "abc") == ""
    assert new_part("abc", "abcd") == "d"
    assert new_part("x" * 500 + "abc", "x" * 400 + "abcdef") == "def"
    assert new_part("abc", "xyz") == "xyz"
