"""A sandbox host (`skyscale sandboxd`): judging and interactive sandboxes over HTTP, and nothing else.

It has no database and knows no runs: a control plane asks, it answers. Start reading at `app.py`, then `membership.py`.
"""
