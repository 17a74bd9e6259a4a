"""The starter model: a small Qwen3-architecture model made from nothing, part-trained so that RL has work left.

Owns: the script `python -m skyscale.starter` and the files it makes in `model/` (package data, Hugging Face format).
May import: envs (the family tables), errors, wire, torch, transformers, tokenizers.
Start reading at `__main__.py`, then `corpus.py` (what it is taught, mistakes included).
"""
