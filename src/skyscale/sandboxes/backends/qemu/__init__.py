"""QEMU virtual machines: each episode has a machine of its own, restored from one snapshot.

    backend.py (warm pool) --> snapshot.py (boot once, keep memory and state) --> restore: a private copy of the memory

Software emulation works on every host; KVM is used where a real boot under it succeeds. Needs `qemu-system-x86_64`;
the guest image is built on first use. Owns: `backend.py`, `workspaces.py` (interactive sandboxes), `machines.py` (what
both share), `snapshot.py`, `launch.py` (command line), `qmp.py`.
"""
