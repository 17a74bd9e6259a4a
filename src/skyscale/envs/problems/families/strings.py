"""Families over strings: slices, case, repetition, joining."""

from skyscale.envs.problems.family import Family
from skyscale.wire.problems import Difficulty

_E, _M, _H = Difficulty.EASY, Difficulty.MEDIUM, Difficulty.HARD

STRINGS: tuple[Family, ...] = (
    Family(name="repeat", difficulty=_E, args="s", text="{s} repeated {k} times", code="{s} * {k}", high=5),
    Family(name="prefix", difficulty=_E, args="s", text="the first {k} characters of {s}", code="{s}[:{k}]", high=5),
    Family(name="suffix", difficulty=_E, args="s", text="the last {k} characters of {s}", code="{s}[-{k}:]", high=5),
    Family(
        name="cut_prefix",
        difficulty=_E,
        args="s",
        text="{s} without its first {k} characters",
        code="{s}[{k}:]",
        high=5,
    ),
    Family(
        name="cut_suffix",
        difficulty=_E,
        args="s",
        text="{s} without its last {k} characters",
        code="{s}[:-{k}]",
        high=5,
        heldout=True,
    ),
    Family(
        name="character", difficulty=_E, args="s", text="the character of {s} at index {k}", code="{s}[{k}]", high=5
    ),
    Family(
        name="upper_repeat",
        difficulty=_M,
        args="s",
        text="{s} in upper case, repeated {k} times",
        code="{s}.upper() * {k}",
        high=5,
    ),
    Family(
        name="lower_repeat",
        difficulty=_M,
        args="s",
        text="{s} in lower case, repeated {k} times",
        code="{s}.lower() * {k}",
        high=5,
    ),
    Family(
        name="upper_prefix",
        difficulty=_M,
        args="s",
        text="the first {k} characters of {s} in upper case",
        code="{s}[:{k}].upper()",
        high=5,
    ),
    Family(
        name="lower_prefix",
        difficulty=_M,
        args="s",
        text="the first {k} characters of {s} in lower case",
        code="{s}[:{k}].lower()",
        high=5,
    ),
    Family(
        name="upper_suffix",
        difficulty=_M,
        args="s",
        text="the last {k} characters of {s} in upper case",
        code="{s}[-{k}:].upper()",
        high=5,
    ),
    Family(
        name="lower_suffix",
        difficulty=_M,
        args="s",
        text="the last {k} characters of {s} in lower case",
        code="{s}[-{k}:].lower()",
        high=5,
        heldout=True,
    ),
    Family(name="size_plus", difficulty=_E, args="s", text="the length of {s} plus {k}", code="len({s}) + {k}"),
    Family(name="size_times", difficulty=_E, args="s", text="the length of {s} times {k}", code="len({s}) * {k}"),
    Family(
        name="join_repeat",
        difficulty=_M,
        args="st",
        text="{s} followed by {t} repeated {k} times",
        code="{s} + {t} * {k}",
        high=4,
    ),
    Family(
        name="join_prefix",
        difficulty=_M,
        args="st",
        text="{s} followed by the first {k} characters of {t}",
        code="{s} + {t}[:{k}]",
        high=5,
    ),
    Family(
        name="join_suffix",
        difficulty=_M,
        args="st",
        text="{s} followed by the last {k} characters of {t}",
        code="{s} + {t}[-{k}:]",
        high=5,
        heldout=True,
    ),
    Family(
        name="join_prefixes",
        difficulty=_H,
        args="st",
        text="the first {k} characters of {s} followed by the first {m} of {t}",
        code="{s}[:{k}] + {t}[:{m}]",
        high=5,
    ),
    Family(
        name="prefix_times",
        difficulty=_H,
        args="s",
        text="the first {k} characters of {s}, repeated {m} times",
        code="{s}[:{k}] * {m}",
        high=5,
    ),
)
