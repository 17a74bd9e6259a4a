"""What services cost; start reading in `meter.py`."""
