"""Which provider a job goes to: the one its caller named, or with `auto` the first of GPU_PROVIDER_ORDER that takes it.

- A name that does not exist is refused at once, with the names that do; so is one that is not ready, with what to do.
- With `auto` a provider that is not ready is not left out: it is passed over when its turn comes, with an event.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from skyscale.errors import Invalid
from skyscale.jobs import capacity
from skyscale.jobs.loading import unknown_provider
from skyscale.jobs.provider import Provider
from skyscale.settings import Settings

AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """All providers, and the order in which `auto` asks them."""

    providers: Mapping[str, Provider]
    order: Sequence[str]
    is_public: bool = False
    """Jobs elsewhere can reach this control plane: it has a public URL."""
    is_store_shared: bool = False
    """Jobs elsewhere can reach the artifacts: they are not in a folder of this host."""

    def __post_init__(self) -> None:
        for name in self.order:
            if name not in self.providers:
                raise unknown_provider(name, self.providers)
        if not self.order:
            raise Invalid("GPU_PROVIDER_ORDER names no provider", hint=f"Use some of: {', '.join(self.providers)}.")

    def named(self, asked: str) -> str:
        """What a new run is said to run on: `auto` is the one provider there is to choose from, or stays open."""
        return self.order[0] if asked == AUTO and len(self.order) == 1 else asked

    def choose(self, asked: str) -> tuple[str, list[str] | None]:
        """The provider to begin with, and all that may be asked in order; None when the caller named it."""
        return (self.order[0], list(self.order)) if asked == AUTO else (asked, None)

    def check(self, asked: str, *, is_of_run: bool = True) -> None:
        """Raise Invalid when what was asked for does not exist or is not ready."""
        if asked != AUTO and asked not in self.providers:
            raise unknown_provider(asked, [AUTO, *self.providers])
        wanted = self.order if asked == AUTO else [asked]
        reasons = {name: self.missing(name, is_of_run=is_of_run) for name in wanted}
        if all(reasons.values()):
            raise Invalid(
                "; ".join(f"provider {name} is not ready: {reason}" for name, reason in reasons.items()),
                code="provider_not_ready",
                hint="GET /api/gpus says what each provider needs.",
            )

    def check_capacity(self, asked: str, wanted: str | None, gpu_model: str) -> None:
        """Raise Invalid when nobody who may be asked has such a machine with the capacity that is wanted."""
        names = self.order if asked == AUTO else [asked]
        if wanted and not any(capacity.gives(self.providers[name].abilities, wanted, gpu_model) for name in names):
            raise capacity.refusal(names, wanted, gpu_model)

    def missing(self, name: str, *, is_of_run: bool = True) -> str | None:
        """What must be done before the provider can run such jobs; None when it is ready."""
        provider = self.providers[name]
        reason = provider.missing()
        if reason is not None or not (is_of_run and provider.abilities.is_remote):
            return reason
        if not self.is_public:
            return "set SKYSCALE_JOB_URL, where its jobs reach this control plane"
        return None if self.is_store_shared else "keep artifacts where its jobs reach them: set S3_BUCKET"


def places_of(providers: Mapping[str, Provider], settings: Settings) -> Places:
    """As the settings have it. Raises Invalid for an order that cannot be."""
    return Places(
        providers=providers,
        order=settings.provider_order,
        is_public=settings.job_url is not None,
        is_store_shared=not settings.artifact_root.startswith("file:"),
    )
