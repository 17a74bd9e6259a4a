"""Render the families into problems with tests, deterministically from one seed.

Invariants: a reference solution passes all its tests; every listed wrong solution runs and fails at least one; tests
are chosen among random inputs so that a single mistake passes as few of them as possible (a mistake must cost reward).
The code run here in-process is our own templates, never a model's.
"""

import random
from collections.abc import Callable

from skyscale.envs.problems.families.lists import LISTS
from skyscale.envs.problems.families.numbers import NUMBERS
from skyscale.envs.problems.families.programs import PROGRAMS
from skyscale.envs.problems.families.strings import STRINGS
from skyscale.envs.problems.family import Family, Value, Variant, draw_inputs, draw_variant
from skyscale.envs.problems.mutations import Site, single_mistakes
from skyscale.wire.problems import Problem, Split, StdinTest

FAMILIES: tuple[Family, ...] = (*NUMBERS, *LISTS, *STRINGS, *PROGRAMS)
SEED = 20
VARIANTS = 5
TESTS = 6
_CANDIDATES = 48
_MAX_WRONG = 4

Case = tuple[tuple[Value, ...], object]


def generate(seed: int = SEED) -> list[Problem]:
    """All problems, family by family."""
    return [problem for family in FAMILIES for problem in _problems(family, random.Random(f"{seed}:{family.name}"))]


def usable_sites(variant: Variant, rng: random.Random) -> list[Site]:
    """The variant's sites, with only those options that run without an error and change some result."""
    inputs = [draw_inputs(variant.family, rng) for _ in range(12)]
    expected = _outcomes(variant.solution, variant.family, inputs)
    options: dict[int, tuple[str, ...]] = {}
    for site, option, program in single_mistakes(variant):
        outcome = _outcomes(program, variant.family, inputs)
        if outcome != expected and not any(isinstance(x, Exception) for x in outcome):
            options[site.index] = (*options.get(site.index, ()), option)
    return [Site(index, found) for index, found in options.items()]


def _problems(family: Family, rng: random.Random) -> list[Problem]:
    variants: dict[str, Variant] = {}
    while len(variants) < VARIANTS:
        variant = draw_variant(family, rng)
        variants.setdefault(variant.prompt, variant)
    return [_problem(variant, number, rng) for number, variant in enumerate(variants.values(), 1)]


def _problem(variant: Variant, number: int, rng: random.Random) -> Problem:
    family = variant.family
    mistakes = [program for _, _, program in single_mistakes(variant)]
    cases, wrong = _choose_cases(variant, mistakes, rng)
    calls = family.style == "calls"
    return Problem(
        id=f"{family.name.replace('_', '-')}-{number}",
        family=family.name,
        prompt=variant.prompt,
        difficulty=family.difficulty,
        split=Split.HELDOUT if family.heldout else Split.TRAIN,
        style=family.style,
        entry_point="f" if calls else None,
        test_cases=[f"assert f({', '.join(map(repr, x))}) == {y!r}" for x, y in cases] if calls else [],
        stdin_tests=[] if calls else [StdinTest(stdin=_stdin(x), stdout=f"{y}\n") for x, y in cases],
        solution=variant.solution,
        wrong_solutions=wrong[:_MAX_WRONG],
    )


def _choose_cases(variant: Variant, mistakes: list[str], rng: random.Random) -> tuple[list[Case], list[str]]:
    """The cases that most mistakes fail, and the runnable mistakes from the worst-scoring on."""
    inputs = [draw_inputs(variant.family, rng) for _ in range(_CANDIDATES)]
    expected = _outcomes(variant.solution, variant.family, inputs)
    outcomes = {program: _outcomes(program, variant.family, inputs) for program in mistakes}
    runnable = {p: o for p, o in outcomes.items() if not any(isinstance(x, Exception) for x in o)}
    slips = [sum(o[i] == expected[i] for o in runnable.values()) for i in range(len(inputs))]
    order = sorted(range(len(inputs)), key=lambda i: slips[i])
    chosen: list[int] = []
    for i in order:
        if all(expected[i] != expected[j] for j in chosen):
            chosen.append(i)
    chosen = (chosen + [i for i in order if i not in chosen])[:TESTS]
    rng.shuffle(chosen)
    passed = {p: sum(o[i] == expected[i] for i in chosen) for p, o in runnable.items()}
    wrong = sorted((p for p, count in passed.items() if count < TESTS), key=lambda p: passed[p])
    if len(wrong) < 2:
        raise ValueError(f"family {variant.family.name} has fewer than two wrong solutions: {wrong}")
    return [(inputs[i], expected[i]) for i in chosen], wrong


def _outcomes(program: str, family: Family, inputs: list[tuple[Value, ...]]) -> list[object]:
    """What the program gives for each input; an exception stands for itself."""
    run = _function(program) if family.style == "calls" else _program(program)
    results: list[object] = []
    for values in inputs:
        try:
            results.append(run(values))
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            results.append(error)
    return results


def _function(program: str) -> Callable[[tuple[Value, ...]], object]:
    space: dict[str, Callable[..., object]] = {}
    exec(compile(program, "<family>", "exec"), space)
    return lambda values: space["f"](*values)


def _program(program: str) -> Callable[[tuple[Value, ...]], object]:
    compiled = compile(program, "<family>", "exec")

    def run(values: tuple[Value, ...]) -> object:
        printed: list[object] = []
        exec(compiled, {"input": lambda: _stdin(values).rstrip("\n"), "print": printed.append})
        return printed[0]

    return run


def _stdin(values: tuple[Value, ...]) -> str:
    words = [str(x) for value in values for x in (value if isinstance(value, list) else [value])]
    return " ".join(words) + "\n"
