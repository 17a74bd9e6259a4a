"""QEMU virtual machines: each episode has a machine of its own, restored from one snapshot.

    backend.py (warm pool) --> snapshot.py (boot once, keep memory and state) --> restore: a private copy of the memory

Software emulation works on every host; KVM is used where a real boot under it succeeds. Needs `qemu-system-x86_64` and
the image of `scripts/build_daemon_rootfs.sh`. Owns: `backend.py`, `snapshot.py`, `launch.py` (command line), `qmp.py`.
"""
