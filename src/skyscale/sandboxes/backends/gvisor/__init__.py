"""gVisor containers: each episode is the only process of a container of its own, behind gVisor's kernel in user space.

    backend.py (warm pool) --> container.py (one `runsc run`: a socket, two pipes) --> guest/inside/container.py

Needs `runsc` on PATH. No Docker, no network, no image: `rootfs.py` makes the root out of this interpreter.
Owns: `backend.py`, `workspaces.py` (interactive sandboxes), `home.py` (their folder, and what dead owners left),
`bundle.py` (the OCI description), `rootfs.py`, `container.py`. Start reading at `backend.py`.
"""
