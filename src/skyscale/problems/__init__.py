"""Problem sets that were uploaded: checked, named, versioned by content, kept while runs use them.

Owns: the versions of sets and their files. May import: store, envs, artifacts, errors, wire. Knows runs only as rows
that name a set. Start reading at `service.py` (what may be asked), then `uploads.py` (how a file comes in).
"""
