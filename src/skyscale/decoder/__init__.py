"""A dense decoder-only transformer in plain torch, for the Llama, Mistral, Qwen2 and Qwen3 families.

Does: one implementation that the trainer differentiates and the torch engine samples from, so that their
log-probabilities agree; reads and writes Hugging Face folders bit for bit.
Owns: the model's arithmetic, its configuration, checkpoints, and how a model's name becomes a folder.
May import: torch, safetensors, huggingface_hub, and `errors` of ours.
Start reading at `model.py`, then `checkpoint.py`.
"""
