"""What runs inside a guest, as files copied there: standard library only, imported as `sandboxes.guest.inside`.

It holds no secret and no expected value. `container.py` is the first process of a gVisor container, `daemon.py` that of
a virtual machine; both end in the process backend's runner, so that every backend runs an episode with the same code.
Interactive sandboxes: `container_workspace.py` and `workshop.py` make one, `porter.py` serves it, over a `line.py`.
"""
