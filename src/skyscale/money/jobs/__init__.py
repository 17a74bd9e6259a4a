"""What jobs of their own cost; start reading in `meter.py`."""
