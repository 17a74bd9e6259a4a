"""The `skyscale` command: serve the control plane, start and watch runs, look into problems, buffer and jobs.

Owns: flags, exit codes (0 done, 1 trouble, 2 usage, 130 interrupted), what is printed. Talks to the control plane
through `sdk` alone. May import: every control-plane room, but only `serve.py` does. Every module imports click at its
top and the rest inside the function that needs it, so that `--help` is instant. Start reading at `main.py`.
"""
