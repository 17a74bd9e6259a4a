"""Where the shipped starter model lies; imports nothing heavy, so anyone may ask."""

from pathlib import Path

NAME = "skyscale/starter"
"""The `base_model` that means the shipped model."""
MODEL_DIR = Path(__file__).parent / "model"
"""A folder in Hugging Face format: config.json, tokenizer.json, model.safetensors and their companions."""
