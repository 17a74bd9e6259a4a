"""A group on the screen: problem, then completions side by side, each with reward, tests and what went wrong.

Everything that a model wrote is text here, never markup.
"""

from __future__ import annotations

from collections.abc import Generator

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from skyscale.wire.rollouts import RolloutCompletion, RolloutDetail, RolloutTokens

NARROWEST = 44
"""Below so many characters a program is no longer readable."""
MAX_REASONS = 4
MAX_STDERR_LINES = 4
SURE, UNSURE = -0.1, -1.5
"""Log-probabilities above the first are the model's clear choice, below the second a surprise."""


def render(detail: RolloutDetail, width: int, columns: int | None = None) -> Generator[RenderableType]:
    """The parts of the page, from the top."""
    row = detail.rollout
    head = Text(f"{row.group_id}  ", style="bold")
    head.append(f"{row.purpose} of {row.problem_id}, version {row.version}, {row.state}", style="default")
    if row.reward_mean is not None:
        head.append(f"\nmean reward {row.reward_mean:.3f} of {row.num_completions}")
    if row.num_dropped:
        head.append(f", {row.num_dropped} lost to infrastructure", style="yellow")
    yield head
    for message in detail.messages:
        yield Panel(Text(message["content"]), title=message["role"], title_align="left", border_style="dim")
    if detail.completions is None:
        yield Text("its completions are no longer kept (SKYSCALE_ROLLOUTS_KEEP)", style="yellow")
        return
    number = columns or max(1, min(len(detail.completions), width // NARROWEST))
    panels = [_panel(index, each, width // number - 1) for index, each in enumerate(detail.completions)]
    for first in range(0, len(panels), number):
        yield Columns(panels[first : first + number], padding=(0, 1, 0, 0))


def _panel(index: int, completion: RolloutCompletion, width: int) -> Panel:
    reward = completion.reward
    color = "green" if reward >= 0.999 else "yellow" if reward > 0 else "red"
    title = Text.assemble(f"{index}  ", (f"reward {reward:.3f}", f"bold {color}"))
    parts: list[RenderableType] = [Text(completion.text or "(nothing)", style="" if completion.text else "dim")]
    if completion.tokens is not None:
        parts = [_tokens(completion.tokens)]
    parts.append(Text("\u2500" * (width - 4), style="dim"))
    parts.append(_tests(completion))
    if completion.stderr:
        lines = completion.stderr.strip().splitlines()[-MAX_STDERR_LINES:]
        parts.append(Text("\n".join(lines), style="red"))
    parts.append(Text(_footer(completion), style="dim"))
    return Panel(Group(*parts), title=title, title_align="left", width=width, border_style=color)


def _tests(completion: RolloutCompletion) -> Text:
    text = Text(f"{completion.passed_tests}/{completion.total_tests} tests passed")
    if completion.tests is None:
        return text.append(" (details not recorded)", style="dim") if completion.total_tests else text
    text.append("  ")
    for test in completion.tests:
        text.append("\u25cf" if test.passed else "\u25cb", style="green" if test.passed else "red")
    reasons: dict[str, list[int]] = {}
    for number, test in enumerate(completion.tests, 1):
        if not test.passed:
            reasons.setdefault(test.status + (f", {test.detail}" if test.detail else ""), []).append(number)
    for reason, numbers in list(reasons.items())[:MAX_REASONS]:
        text.append(f"\n  {_named(numbers)}: {reason}", style="red")
    if len(reasons) > MAX_REASONS:
        text.append(f"\n  and {len(reasons) - MAX_REASONS} more reasons", style="red")
    return text


def _named(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"test {numbers[0]}"
    is_run = numbers[-1] - numbers[0] == len(numbers) - 1
    return f"tests {numbers[0]}-{numbers[-1]}" if is_run else "tests " + ", ".join(map(str, numbers))


def _footer(completion: RolloutCompletion) -> str:
    parts = " ".join(f"{name} {value:+.3f}" for name, value in completion.reward_parts.items())
    versions = f"v{completion.min_version}"
    if completion.max_version != completion.min_version:
        versions += f"-{completion.max_version}"
    ended = "" if completion.outcome == "scored" else f", {completion.outcome}"
    turns = f", {len(completion.turns)} turns" if completion.turns else ""
    return f"{completion.num_tokens} tokens, {versions}{ended}{turns}; {parts}"


def _tokens(tokens: RolloutTokens) -> Text:
    """The completion token by token: surprises are red, clear choices plain."""
    text = Text()
    strings = tokens.strings or [f"<{id_}>" for id_ in tokens.ids]
    for string, logprob in zip(strings, tokens.logprobs, strict=True):
        style = "" if logprob > SURE else "yellow" if logprob > UNSURE else "bold red"
        text.append(string, style=style)
    lowest = sorted(zip(tokens.logprobs, strings, tokens.versions, strict=True), key=lambda each: each[0])[:3]
    told = ", ".join(f"{string!r} {logprob:.2f} (v{version})" for logprob, string, version in lowest)
    return text.append(f"\nleast likely: {told}" if lowest else "", style="dim")
