#!/bin/sh
# Builds the guest image of the virtual-machine sandboxes ahead of its first use; see the script that it runs.
# Usage: scripts/build_daemon_rootfs.sh [FOLDER]      prints the folder of the finished image
exec sh "$(dirname "$0")/../src/skyscale/sandboxes/guest/build_daemon_rootfs.sh" "$@"
