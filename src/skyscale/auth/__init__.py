"""Who calls, and what that opens.

Owns: principals, job tokens and the secret that signs them, API keys and their scopes, the count of failed attempts.
May import: errors, settings, wire, store. Knows nothing of HTTP: `api.guard` reads the headers and asks here. Start
reading at `principal.py`, then `rules.py`.
"""
