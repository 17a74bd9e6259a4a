"""Interactive sandboxes of the process backend, as seen from outside.

    control plane                     keeper (no host files)            workspace (PID 1 of its namespace)
    backend.py -- spawn + socket -->  zygote/keeper.py -- clone -->     zygote/init.py -- fork + exec --> programs
    workspace.py <----- requests and replies over a socket, descriptors for bytes -----'

Owns: `backend.py` (the keeper, making workspaces), `workspace.py` (one of them), `channel.py` (requests and replies),
`memory.py` (what its processes use), `leftovers.py` (what a dead control plane left). Start reading at `backend.py`.
"""
