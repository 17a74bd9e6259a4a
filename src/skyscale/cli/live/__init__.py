"""The live view of a run: read (`snapshot.py`), drawn (`screen.py`, pure), repeated (`watch.py`)."""
