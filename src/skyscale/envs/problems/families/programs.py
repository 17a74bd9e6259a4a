"""Families of whole programs that read standard input and print one value."""

from skyscale.envs.problems.family import Family
from skyscale.wire.problems import Difficulty

_E, _M, _H = Difficulty.EASY, Difficulty.MEDIUM, Difficulty.HARD

PROGRAMS: tuple[Family, ...] = (
    Family(name="print_plus", style="stdin", difficulty=_E, args="a", text="{a} plus {k}", code="{a} + {k}"),
    Family(name="print_minus", style="stdin", difficulty=_E, args="a", text="{a} minus {k}", code="{a} - {k}"),
    Family(
        name="print_times", style="stdin", difficulty=_E, args="a", text="{a} times {k}", code="{a} * {k}", heldout=True
    ),
    Family(
        name="print_remainder",
        style="stdin",
        difficulty=_E,
        args="a",
        text="the remainder of {a} divided by {k}",
        code="{a} % {k}",
    ),
    Family(
        name="print_scaled_plus",
        style="stdin",
        difficulty=_M,
        args="a",
        text="{k} times {a} plus {m}",
        code="{k} * {a} + {m}",
    ),
    Family(
        name="print_square_plus",
        style="stdin",
        difficulty=_M,
        args="a",
        text="the square of {a} plus {k}",
        code="{a} ** 2 + {k}",
    ),
    Family(
        name="print_sum_plus",
        style="stdin",
        difficulty=_M,
        args="ab",
        text="{a} plus {b} plus {k}",
        code="{a} + {b} + {k}",
    ),
    Family(
        name="print_difference_plus",
        style="stdin",
        difficulty=_M,
        args="ab",
        text="{a} minus {b} plus {k}",
        code="{a} - {b} + {k}",
    ),
    Family(
        name="print_plus_scaled",
        style="stdin",
        difficulty=_H,
        args="ab",
        text="{a} plus {k} times {b}",
        code="{a} + {k} * {b}",
    ),
    Family(
        name="print_prefix",
        style="stdin",
        difficulty=_E,
        args="s",
        text="the first {k} characters of {s}",
        code="{s}[:{k}]",
        high=5,
    ),
    Family(
        name="print_suffix",
        style="stdin",
        difficulty=_E,
        args="s",
        text="the last {k} characters of {s}",
        code="{s}[-{k}:]",
        high=5,
    ),
    Family(
        name="print_repeat",
        style="stdin",
        difficulty=_E,
        args="s",
        text="{s} repeated {k} times",
        code="{s} * {k}",
        high=5,
    ),
    Family(
        name="print_total_plus",
        style="stdin",
        difficulty=_M,
        args="v",
        text="the sum of {v} plus {k}",
        code="sum({v}) + {k}",
    ),
    Family(
        name="print_largest_plus",
        style="stdin",
        difficulty=_M,
        args="v",
        text="the largest of {v} plus {k}",
        code="max({v}) + {k}",
    ),
    Family(
        name="print_smallest_plus",
        style="stdin",
        difficulty=_M,
        args="v",
        text="the smallest of {v} plus {k}",
        code="min({v}) + {k}",
        heldout=True,
    ),
)
