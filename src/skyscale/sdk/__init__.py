"""The one way in over HTTP: operators' clients and the jobs' clients, each sync and async.

Owns: requests, retries, and turning problem+json back into `skyscale.errors`.
May import: wire, errors, settings, httpx, aiohttp.
A request is built and its reply read once, in `operator_calls.py` and `job_calls.py` (pure); the clients only send.
Start reading at `client.py`; `transport.py` is where bytes leave the process, `direct_transport.py` and
`job_transport.py` where those of jobs do.
"""
