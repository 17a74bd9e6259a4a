"""What several contracts are tried on."""

from collections.abc import AsyncIterator

import pytest

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.backends.process.backend import ProcessBackend


@pytest.fixture
async def backend() -> AsyncIterator[ProcessBackend]:
    """The process backend; contracts of several backends have a fixture of their own by this name."""
    made = ProcessBackend(slots=2)
    try:
        await made.start()
    except SandboxFailure as failure:
        pytest.skip(f"process: {failure.detail}")
    yield made
    await made.stop()
