"""Who calls, and what that opens.

Owns: principals, job tokens and the secret that signs them. May import: errors, settings, wire, store. Knows nothing
of HTTP: `api.deps` reads the header and asks here. Start reading at `principal.py`.
"""
