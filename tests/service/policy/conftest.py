"""A tiny model with a tokenizer and a chat template, and the real server process in front of it."""

import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Qwen3Config, Qwen3ForCausalLM

TOKEN = "a-job-token-for-tests"
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_model(folder: Path) -> Path:
    """A random Qwen3 model with a byte-level tokenizer whose token 1 ends a completion."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["write a function that adds two numbers", "def f(a, b): return a + b"], trainer)
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=300, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=1, head_dim=16, max_position_embeddings=512, tie_word_embeddings=True,
        initializer_range=0.1, eos_token_id=1,
    )  # fmt: skip
    Qwen3ForCausalLM(config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"eos_token": "<|im_end|>"}')
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def server_url(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """A `python -m skyscale.policy` process that serves the tiny model on its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "skyscale.policy", "--model", str(model_folder)],
        stdout=subprocess.PIPE,
        env=os.environ | {"SKYSCALE_JOB_TOKEN": TOKEN},
        text=True,
    )
    assert process.stdout is not None
    with process:
        line = process.stdout.readline()
        assert " at http://" in line, line
        try:
            yield line.split(" at ")[1].strip()
        finally:
            process.terminate()
            assert process.wait(15) == 0
