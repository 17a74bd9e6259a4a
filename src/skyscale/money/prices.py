"""List prices by provider and accelerator, in dollars per hour of one; SKYSCALE_PRICES changes and adds to them.

Read off the providers' public pages in mid 2026 (Modal: modal.com/pricing, Hugging Face: the Jobs price list, Railway:
$20 a vCPU and $10 a GB of memory a month); they serve meters and estimates, never invoices. Akash is a market: what is
here is a bid that is usually taken. Own machines (`local`, `ray`) cost nothing unless their owner says what they do.
"""

import json
import math
from collections.abc import Mapping
from typing import cast

from skyscale.errors import Invalid

CPU, ANY, SANDBOX = "cpu", "any", "sandbox"
OWN = frozenset({"local", "ray"})
"""Providers whose machines somebody has paid for already."""
LIST: Mapping[str, Mapping[str, float]] = {
    "local": {CPU: 0.0, SANDBOX: 0.0},
    "ray": {CPU: 0.0},
    "modal": {
        CPU: 0.14, "t4": 0.59, "l4": 0.80, "a10g": 1.10, "l40s": 1.95, "a100": 2.50, "a100-40": 2.10, "a100-80": 2.50,
        "rtx-pro-6000": 3.03, "h100": 3.95, "h200": 4.54, "b200": 6.25,
    },
    "huggingface": {
        CPU: 0.03, "t4": 0.40, "l4": 0.80, "a10g": 1.00, "l40s": 1.80, "a100": 2.50, "a100-80": 2.50, "h200": 5.00,
        "rtx-pro-6000": 2.75,
    },
    "akash": {
        CPU: 0.02, "t4": 0.25, "rtx3060": 0.15, "rtx3090": 0.25, "rtx4090": 0.45, "rtx5090": 0.70, "a100": 1.00,
        "a100-80": 1.10, "h100": 1.60, "h200": 2.60,
    },
    "railway": {CPU: 0.0278, "memory_gb": 0.0139},
}  # fmt: skip
"""`cpu` is one core with its memory; `sandbox` is one sandbox that runs code, wherever it is."""


class Prices:
    """The list with an operator's changes."""

    def __init__(self, changes: Mapping[str, Mapping[str, float]] | None = None) -> None:
        changes = changes or {}
        self._table = {name: {**LIST.get(name, {}), **changes.get(name, {})} for name in {*LIST, *changes}}

    @classmethod
    def parse(cls, text: str) -> "Prices":
        """The list changed by JSON like `{"local": {"h100": 1.9, "cpu": 0.02}}`. Raises Invalid for anything else."""
        try:
            found: object = json.loads(text) if text.strip() else {}
        except ValueError as error:
            raise _wrong(f"is not JSON: {error}") from error
        if not isinstance(found, dict):
            raise _wrong("is not an object of providers")
        changes: dict[str, dict[str, float]] = {}
        for provider, models in cast("dict[str, object]", found).items():
            if not isinstance(models, dict):
                raise _wrong(f"{provider}: is not an object of accelerators")
            changes[provider] = {
                model.lower(): _dollars(provider, model, value)
                for model, value in cast("dict[str, object]", models).items()
            }
        return cls(changes)

    def per_hour(self, provider: str, model: str) -> float | None:
        """Dollars per hour of one accelerator of this model, or of one core (`cpu`); None when nobody knows.

        `any` is the cheapest that the provider sells, which is what it gives.
        """
        models = self._table.get(provider, {})
        if model == ANY:
            sold = [price for name, price in models.items() if name not in (CPU, SANDBOX)]
            return min(sold) if sold else 0.0 if provider in OWN else None
        found = models.get(model)
        return 0.0 if found is None and provider in OWN else found

    def dearest(self, model: str, providers: frozenset[str]) -> float | None:
        """The highest price for a model at any of these: the safe guess while it is open who will give it."""
        found = [self.per_hour(provider, model) for provider in providers]
        known = [price for price in found if price is not None]
        return max(known) if known else None

    @property
    def providers(self) -> frozenset[str]:
        """Names in the list."""
        return frozenset(self._table)

    @property
    def sandbox_per_hour(self) -> float:
        """Dollars per hour of one sandbox at work."""
        return self._table["local"][SANDBOX]


def _dollars(provider: str, model: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise _wrong(f"{provider}.{model}: {value!r} is not a number of dollars per hour")
    return float(value)


def _wrong(what: str) -> Invalid:
    hint = 'Write it like {"local": {"h100": 1.9, "cpu": 0.02}}: dollars per hour of one accelerator, or of one core.'
    return Invalid(f"SKYSCALE_PRICES {what}", code="setting_invalid", hint=hint)
