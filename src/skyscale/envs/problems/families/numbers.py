"""Families over integers: one operation with a constant, then two, then ranges and choices."""

from skyscale.envs.problems.family import Family
from skyscale.wire.problems import Difficulty

_E, _M, _H = Difficulty.EASY, Difficulty.MEDIUM, Difficulty.HARD

NUMBERS: tuple[Family, ...] = (
    Family(name="plus", difficulty=_E, args="a", text="{a} plus {k}", code="{a} + {k}"),
    Family(name="minus", difficulty=_E, args="a", text="{a} minus {k}", code="{a} - {k}"),
    Family(name="times", difficulty=_E, args="a", text="{a} times {k}", code="{a} * {k}"),
    Family(name="quotient", difficulty=_E, args="a", text="{a} divided by {k}, rounded down", code="{a} // {k}"),
    Family(name="remainder", difficulty=_E, args="a", text="the remainder of {a} divided by {k}", code="{a} % {k}"),
    Family(name="sum_plus", difficulty=_E, args="ab", text="{a} plus {b} plus {k}", code="{a} + {b} + {k}"),
    Family(
        name="sum_minus", difficulty=_E, args="ab", text="{a} plus {b} minus {k}", code="{a} + {b} - {k}", heldout=True
    ),
    Family(name="difference_plus", difficulty=_E, args="ab", text="{a} minus {b} plus {k}", code="{a} - {b} + {k}"),
    Family(name="difference_minus", difficulty=_E, args="ab", text="{a} minus {b} minus {k}", code="{a} - {b} - {k}"),
    Family(name="product_plus", difficulty=_E, args="ab", text="{a} times {b} plus {k}", code="{a} * {b} + {k}"),
    Family(name="product_minus", difficulty=_E, args="ab", text="{a} times {b} minus {k}", code="{a} * {b} - {k}"),
    Family(name="plus_scaled", difficulty=_M, args="ab", text="{a} plus {k} times {b}", code="{a} + {k} * {b}"),
    Family(
        name="minus_scaled",
        difficulty=_M,
        args="ab",
        text="{a} minus {k} times {b}",
        code="{a} - {k} * {b}",
        heldout=True,
    ),
    Family(name="scaled_plus", difficulty=_M, args="a", text="{k} times {a} plus {m}", code="{k} * {a} + {m}"),
    Family(name="scaled_minus", difficulty=_M, args="a", text="{k} times {a} minus {m}", code="{k} * {a} - {m}"),
    Family(
        name="scaled_sum",
        difficulty=_H,
        args="ab",
        text="{k} times {a} plus {m} times {b}",
        code="{k} * {a} + {m} * {b}",
    ),
    Family(
        name="scaled_difference",
        difficulty=_H,
        args="ab",
        text="{k} times {a} minus {m} times {b}",
        code="{k} * {a} - {m} * {b}",
    ),
    Family(name="square_plus", difficulty=_E, args="a", text="the square of {a} plus {k}", code="{a} ** 2 + {k}"),
    Family(name="square_minus", difficulty=_E, args="a", text="the square of {a} minus {k}", code="{a} ** 2 - {k}"),
    Family(name="cube_plus", difficulty=_M, args="a", text="the cube of {a} plus {k}", code="{a} ** 3 + {k}"),
    Family(
        name="square_plus_product",
        difficulty=_H,
        args="ab",
        text="the square of {a} plus {k} times {b}",
        code="{a} ** 2 + {k} * {b}",
    ),
    Family(
        name="larger_plus",
        difficulty=_M,
        args="ab",
        text="the larger of {a} and {b}, plus {k}",
        code="max({a}, {b}) + {k}",
    ),
    Family(
        name="smaller_plus",
        difficulty=_M,
        args="ab",
        text="the smaller of {a} and {b}, plus {k}",
        code="min({a}, {b}) + {k}",
    ),
    Family(
        name="larger_minus",
        difficulty=_M,
        args="ab",
        text="the larger of {a} and {b}, minus {k}",
        code="max({a}, {b}) - {k}",
    ),
    Family(
        name="smaller_minus",
        difficulty=_M,
        args="ab",
        text="the smaller of {a} and {b}, minus {k}",
        code="min({a}, {b}) - {k}",
        heldout=True,
    ),
    Family(
        name="larger_times",
        difficulty=_M,
        args="ab",
        text="the larger of {a} and {b}, times {k}",
        code="max({a}, {b}) * {k}",
    ),
    Family(
        name="distance_plus",
        difficulty=_M,
        args="ab",
        text="the distance of {a} and {b}, plus {k}",
        code="abs({a} - {b}) + {k}",
    ),
    Family(
        name="distance_times",
        difficulty=_M,
        args="ab",
        text="the distance of {a} and {b}, times {k}",
        code="abs({a} - {b}) * {k}",
        heldout=True,
    ),
    Family(
        name="sum_remainder",
        difficulty=_M,
        args="ab",
        text="the remainder of {a} plus {b} divided by {k}",
        code="({a} + {b}) % {k}",
    ),
    Family(
        name="product_remainder",
        difficulty=_M,
        args="ab",
        text="the remainder of {a} times {b} divided by {k}",
        code="({a} * {b}) % {k}",
    ),
    Family(
        name="sum_quotient",
        difficulty=_M,
        args="ab",
        text="{a} plus {b}, divided by {k}, rounded down",
        code="({a} + {b}) // {k}",
    ),
    Family(name="sum_times", difficulty=_M, args="ab", text="{a} plus {b}, times {k}", code="({a} + {b}) * {k}"),
    Family(
        name="difference_times", difficulty=_M, args="ab", text="{a} minus {b}, times {k}", code="({a} - {b}) * {k}"
    ),
    Family(
        name="range_list",
        difficulty=_H,
        args="a",
        text="the first {a} multiples of {k}",
        code="[{k} * i for i in range(1, {a} + 1)]",
    ),
    Family(
        name="range_sum",
        difficulty=_H,
        args="a",
        text="the sum of the integers from 1 to {a}, plus {k}",
        code="sum(range(1, {a} + 1)) + {k}",
    ),
    Family(
        name="larger_if",
        difficulty=_H,
        args="ab",
        text="{a} minus {k} if {a} is less than {b}, else {b} plus {m}",
        code="{a} - {k} if {a} < {b} else {b} + {m}",
    ),
)
