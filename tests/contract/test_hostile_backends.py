"""The hostile corpus on the backends with a kernel of their own; tests/contract/test_sandbox.py plays all of it on
`process`. A slice is played always, the whole by `make test-sandboxes` (`-m slow`)."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.loading import load_backend
from skyscale.sandboxes.sandbox import Limits, SandboxBackend
from tests.contract.corpus import play, probe
from tests.contract.hostile import CHEATS, HANGS

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]  # the first may build an image

LIMITS = {"gvisor": Limits(wall_s=1.5), "qemu": Limits(wall_s=3.0)}
"""An emulated machine computes some twenty times slower; the wait for its verdict is ours, so not in the deadline."""
ALLOWED: dict[str, set[str]] = {"gvisor": set(), "qemu": set()}
"""Probes that the backend's own kernel answers to, beside its seccomp filter: none."""
SLICE = sorted(CHEATS)[::9]
HANGING = ["endless loop", "ignores every signal"]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=sorted(LIMITS))
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[SandboxBackend]:
    made = load_backend(request.param, slots=2)
    try:
        await made.start()
    except SandboxFailure as failure:
        pytest.skip(f"{request.param}: {failure.detail}")
    yield made
    await made.stop()


async def test_a_slice_of_the_hostile_corpus_scores_nothing_and_leaves_nothing(backend: SandboxBackend) -> None:
    await play(backend, SLICE, HANGING, LIMITS[backend.name])


async def test_hostile_probes_of_the_border_are_refused(backend: SandboxBackend) -> None:
    await probe(backend, ALLOWED[backend.name])


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_the_whole_hostile_corpus_scores_nothing_and_leaves_nothing(backend: SandboxBackend) -> None:
    assert len(CHEATS) + len(HANGS) >= 80
    await play(backend, list(CHEATS), list(HANGS), LIMITS[backend.name])
