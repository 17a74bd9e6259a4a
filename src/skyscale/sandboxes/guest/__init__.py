"""What every backend with a kernel of its own shares: the far side of the border, and what runs behind it.

    control plane: sandbox.py (deadline, statuses) -- bytes --> a carrier of the backend's (descriptors, a serial line)
    behind it:     inside/ (bring the machine up, isolate) --> the process backend's zygote and runner, as files

Owns: `claims.py` (what an episode said and how it ended), `sandbox.py` (one single-use episode), `workspace.py` and
`workspaces.py` (interactive sandboxes), `pool.py` (some kept warm), `backend.py` (a pooled backend's common half),
`machine.py` and `mux.py` (a virtual machine's line), `image.py` and `building.py` (its files), `leftovers.py` (what
dead owners left), `files.py` and `inside/` (what is copied into the guest). May import: what `sandboxes` may; no
backend. Start reading at `sandbox.py`.
"""
