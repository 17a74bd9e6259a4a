"""Rows of published data sets to our problems: one file a format, pure; `formats.py` joins them and counts.

A converter takes one row and gives a line of `docs/problem-format.md`, or says why it cannot (`ValueError`). Nothing of
a row is executed, and nothing but plain JSON is decoded. Start reading at `formats.py`.
"""
