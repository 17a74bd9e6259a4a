"""Functions: versions of code that never change, and calls of them, each in a fresh sandbox that is then destroyed.

Owns: rows of `functions`, `function_versions`, `function_executions` and `deployments`, the layers of requirements, the
sandboxes that are kept ready. May import: jobs and boxes (who holds what), store, sandboxes (the contract), telemetry,
settings, errors, wire. Start reading at `calls/service.py` (a call's life), then `pool.py` (fresh sandboxes) and
`inside/harness.py` (the inside).
"""
