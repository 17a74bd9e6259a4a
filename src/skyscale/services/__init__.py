"""Container services at a hosting provider: deploy, look, call, stop, delete.

Does: what is asked, on Railway, whose project is the only record; nothing is kept here, so nothing can disagree.
Owns: services whose name begins with this control plane's mark; never touches others of the same project.
May import: settings, errors, wire, httpx. Knows nothing of runs. Start reading at `service.py`, then `railway.py`.
"""
