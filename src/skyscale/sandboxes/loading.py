"""Backends by name: the literal table of leaves, and the one place that loads them."""

from importlib import import_module

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.sandbox import SandboxBackend
from skyscale.sandboxes.workspace import WorkspaceBackend

BACKENDS = {
    "process": "skyscale.sandboxes.backends.process.backend:ProcessBackend",
    "gvisor": "skyscale.sandboxes.backends.gvisor.backend:GvisorBackend",
    "firecracker": "skyscale.sandboxes.backends.firecracker.backend:FirecrackerBackend",
    "qemu": "skyscale.sandboxes.backends.qemu.backend:QemuBackend",
}


def load_backend(name: str = "process", *, slots: int = 2, allow_weak: bool = False) -> SandboxBackend:
    """The named backend, not started yet; `slots` is how many sandboxes are expected to run at once.

    `allow_weak` lets it start on a host where a required layer of isolation is missing: for tests on trusted code.

    Raises:
        SandboxFailure: no backend of that name.
    """
    if name not in BACKENDS:
        raise SandboxFailure(
            f"no sandbox backend is called {name!r}; there are: {', '.join(sorted(BACKENDS))}",
            hint="Choose one of these; `skyscale doctor` says which of them this host has.",
        )
    module, _, attribute = BACKENDS[name].partition(":")
    return getattr(import_module(module), attribute)(slots=slots, allow_weak=allow_weak)


WORKSPACES = {
    "process": "skyscale.sandboxes.backends.process.workspaces.backend:ProcessWorkspaces",
    "gvisor": "skyscale.sandboxes.backends.gvisor.workspaces:GvisorWorkspaces",
    "qemu": "skyscale.sandboxes.backends.qemu.workspaces:QemuWorkspaces",
}
"""Backends of interactive sandboxes."""


def load_workspaces(name: str, *, label: str) -> WorkspaceBackend:
    """The named backend of interactive sandboxes, not started yet.

    `label` marks its processes, so that whoever starts with the same label after a crash can end what was left.

    Raises:
        SandboxFailure: no backend of that name.
    """
    if name not in WORKSPACES:
        known = ", ".join(sorted(WORKSPACES))
        raise SandboxFailure(f"backend {name!r} has no interactive sandboxes; there are: {known}")
    module, _, attribute = WORKSPACES[name].partition(":")
    return getattr(import_module(module), attribute)(label=label)
