"""The embedded problem set and the seeded script that makes it.

Owns: `embedded.jsonl` (checked in, 5 variants of each family) and the family tables it is rendered from.
May import: wire. The script is `python -m skyscale.envs.problems`; running it again writes the same bytes.
Start reading at `family.py` (what a family is), then `mutations.py` (the mistakes), then `generate.py`.
"""
