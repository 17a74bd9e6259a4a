"""Functions with an address of their own. Start reading at `service.py`."""
