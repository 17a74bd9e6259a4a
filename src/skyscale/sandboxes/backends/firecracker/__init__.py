"""Firecracker microVMs: each episode has a machine of its own, restored from one snapshot, inside a jail of its own.

    backend.py (warm pool) --> snapshot.py (boot once; restore) --> jail.py (own uid and root), api.py, vsock.py

Needs KVM, `firecracker` and `jailer`, root for the jailer, and the image of `scripts/build_daemon_rootfs.sh`. There is
no network device. The root disk is read-only; what an episode writes lies in the guest's memory, a private copy each.
"""
