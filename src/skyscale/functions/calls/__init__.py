"""Calls of functions: their rows, their slots, what came of them. Start reading at `service.py`."""
