"""Continuous batching for the torch engine: the rows in flight, their key/value cache, sampling, one decode step,
and the decoder's arithmetic for it (`forward.py`).

Synchronous and single-threaded; the engine leaf owns the thread, the queue and the weight swap.
May import: decoder, `policy.engine`, errors. Start reading at `batch.py`.
"""
