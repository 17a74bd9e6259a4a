"""Skyscale: reinforcement learning as a service, on compute you own.

Start reading at ARCHITECTURE.md; shared words live in `skyscale.wire`.
"""

__version__ = "0.1.0"
