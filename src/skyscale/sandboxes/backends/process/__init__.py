"""The default backend: a fork per episode from a warm interpreter, inside Linux namespaces.

    control plane                       zygote (no host files, no network)          episode (single use)
    backend.py -- spawn + 3 fds each ->  main.py -- clone, map uid -->              isolate.py, then runner.py
         ^---- pid, pidfd ---------------'                                               |
    sandbox.py <-------- results over the channel, stdout, stderr ----------------------'

Owns: `backend.py` (warm slots), `link.py` (one zygote process), `sandbox.py` (one episode, as seen from outside),
and `zygote/`, which runs in the other processes and imports nothing of ours but `encoding.py`.
Start reading at `backend.py`.
"""
