"""Make the starter model from nothing: `python -m skyscale.starter [--out DIR] [--steps N] [--seed N]`."""

import argparse
import json
import sys
import time
from pathlib import Path

import torch
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen3ForCausalLM

from skyscale.envs.problems.generate import generate
from skyscale.starter.check import MAX_NEW_TOKENS, right_share_by_family
from skyscale.starter.corpus import Corpus
from skyscale.starter.location import MODEL_DIR
from skyscale.starter.tokenizer import IM_END, PAD, token_id, train_tokenizer
from skyscale.starter.warmup import Recipe, new_model, warm_up


def main() -> None:
    """Train, report, save."""
    default = Recipe()
    parser = argparse.ArgumentParser(prog="python -m skyscale.starter", description=__doc__)
    parser.add_argument("--out", type=Path, default=MODEL_DIR, help="folder to write (default: the package's own)")
    parser.add_argument("--steps", type=int, default=default.steps)
    parser.add_argument("--seed", type=int, default=default.seed)
    args = parser.parse_args()
    torch.set_num_threads(1)
    make(args.out, Recipe(steps=args.steps, seed=args.seed))


def make(out: Path, recipe: Recipe) -> None:
    """Write the model's folder."""
    started = time.monotonic()
    corpus = Corpus(recipe.seed)
    tokenizer = train_tokenizer(corpus.texts())
    model = new_model(tokenizer, recipe.seed)
    _say(f"{len(tokenizer)} tokens, {model.num_parameters() / 1e6:.2f} M parameters")

    def report(step: int, loss: float) -> None:
        if step % 25 == 0 or step == recipe.steps:
            _say(f"step {step}/{recipe.steps} loss {loss:.3f} after {time.monotonic() - started:.0f} s")

    warm_up(model, tokenizer, corpus, recipe, report)
    _save(model, tokenizer, out)
    shares = right_share_by_family(model, tokenizer, generate(), samples=4, seed=recipe.seed)
    for family, share in sorted(shares.items(), key=lambda item: item[1]):
        _say(f"{share:5.2f} {family}")
    never = sum(share == 0 for share in shares.values())
    _say(f"right at temperature 1: {sum(shares.values()) / len(shares):.3f}, families never right: {never}")


def _save(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    model.bfloat16()
    model.config.dtype = torch.bfloat16
    eos, pad = token_id(tokenizer, IM_END), token_id(tokenizer, PAD)
    model.generation_config = GenerationConfig(
        do_sample=True, temperature=1.0, top_k=0, max_new_tokens=MAX_NEW_TOKENS, eos_token_id=eos, pad_token_id=pad
    )
    model.save_pretrained(out)
    tokenizer.save_pretrained(out, save_jinja_files=False)
    config = json.loads((out / "tokenizer_config.json").read_text(encoding="utf-8"))
    config["tokenizer_class"] = "PreTrainedTokenizerFast"  # what transformers 4 and vLLM call the same class
    (out / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (out / "model.safetensors").chmod(0o644)
    model.float()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
