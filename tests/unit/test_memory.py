"""The memory of a trainer, computed by hand, and the refusal of a run that cannot fit."""

import json
from math import prod
from pathlib import Path

import pytest
from pydantic import ValidationError
from safetensors import safe_open

from skyscale.errors import Invalid
from skyscale.runs.memory import CUDA, Shape, estimate, require_fit
from skyscale.runs.resolve import resolve
from skyscale.starter.location import MODEL_DIR
from skyscale.wire.runs import RunCreate, RunSpec
from skyscale.wire.training import Training

TINY = {
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 4, "hidden_size": 8, "num_hidden_layers": 3,
    "intermediate_size": 16, "vocab_size": 100, "tie_word_embeddings": True,
}  # fmt: skip
QWEN3_4B = {
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "hidden_size": 2560, "num_hidden_layers": 36,
    "intermediate_size": 9728, "vocab_size": 151936, "tie_word_embeddings": True,
}  # fmt: skip

QWEN3_8B = QWEN3_4B | {
    "hidden_size": 4096, "intermediate_size": 12288, "tie_word_embeddings": False,
}  # fmt: skip


def _spec(**changes: object) -> RunSpec:
    return resolve(RunCreate.model_validate({"base_model": "org/model", "gpu_model": "h100"} | changes), "rl-memory")


def test_full_training_by_hand():
    # A layer: q 8x8, k and v 4x8, o 8x8, gate, up and down 16x8, two norms: 64+32+32+64+3*128+16 = 592.
    # P = 3 * 592 + 100 * 8 + 8 = 2584.
    shape = Shape.of(TINY)
    assert shape.parameters == 2584
    found = estimate(shape, Training(), has_reference=True, row_tokens=8192)
    assert (found.weights, found.optimizer, found.in_flight) == (4 * 2584, 16 * 2584, 1600)
    # T = 16384; Q = 8 + 2 * 4 = 16; the insides of one layer 2 T (32 + 8 + 64 + 64) and three inputs 2 T 8.
    assert found.layers == 2 * 16384 * 8 * 3 + 2 * 16384 * 168
    assert found.mask == 3 * 16384 * 8192
    assert found.logits == 6 * 2**27 + 4 * 800
    rest = found.total - found.overhead
    assert found.overhead == CUDA + int(0.08 * rest)


def test_lora_by_hand():
    training = Training(method="lora", lora_rank=2, targets=["q_proj", "down_proj"], gradient_checkpointing=False)
    found = estimate(Shape.of(TINY), training, has_reference=False, row_tokens=8192)
    trained = 2 * ((8 + 8) + (8 + 16)) * 3
    assert (found.weights, found.optimizer, found.in_flight) == (2 * 2584 + 2 * trained, 16 * trained, 0)
    assert found.layers == 3 * 2 * 16384 * 168
    assert found.logits == 6 * 2**27


def test_sharded_training_by_hand():
    # R = 100 * 8 + 8 = 808, L = 592, P = 2584; T = 8192; two processes.
    found = estimate(Shape.of(TINY), Training(sharding="full"), has_reference=True, row_tokens=8192, processes=2)
    assert (found.weights, found.optimizer) == (2 * 808 + 6 * 592 + 2584 + 2 * 808, 8 * 2584)
    assert found.in_flight == 1600 + 10 * 592
    assert found.layers == 2 * 8192 * 8 * 3 + 2 * 8192 * 168
    assert found.mask == 3 * 8192 * 8192
    unsharded = estimate(Shape.of(TINY), Training(), has_reference=False, row_tokens=8192)
    assert estimate(Shape.of(TINY), Training(), has_reference=False, row_tokens=8192, processes=2) == unsharded


def test_a_model_too_large_for_one_gpu_is_told_how_many_it_takes_and_then_accepted():
    with pytest.raises(Invalid, match=r"the trainer needs about 163 GiB and h100 has 80") as caught:
        require_fit(_spec(), QWEN3_8B)
    assert '{"sharding": "full"} with trainer_processes 3 needs about 60 GiB' in (caught.value.hint or "")
    divided = {"training": {"sharding": "full"}, "trainer_processes": 2}
    with pytest.raises(
        Invalid, match=r"each process of the trainer needs about 82 GiB and h100:2 has 80.*optimizer 61"
    ):
        require_fit(_spec(**divided, gpu_model="h100:2"), QWEN3_8B)
    require_fit(_spec(**divided | {"trainer_processes": 4}, gpu_model="h100:4"), QWEN3_8B)
    require_fit(_spec(**divided, gpu_model="h200:2"), QWEN3_8B)


def test_what_cannot_be_divided_is_refused_in_words():
    with pytest.raises(ValidationError, match="adapters and their moments are small"):
        _spec(training={"sharding": "full", "method": "lora"}, trainer_processes=2)
    with pytest.raises(ValidationError, match="to 2 or more"):
        _spec(training={"sharding": "full"})


def test_the_parameter_count_of_real_files_is_right():
    assert Shape.of(QWEN3_4B).parameters == pytest.approx(4.02e9, rel=0.01)
    starter = json.loads((MODEL_DIR / "config.json").read_text())
    with safe_open(MODEL_DIR / "model.safetensors", framework="np") as file:
        sizes = [prod(file.get_slice(name).get_shape()) for name in file.keys()]  # noqa: SIM118 - it is not a mapping
    assert Shape.of(starter).parameters == pytest.approx(sum(sizes), rel=0.001)


def test_what_fits_passes_and_what_does_not_is_refused_with_the_numbers():
    require_fit(_spec(gpu_model="h200"), QWEN3_4B)
    require_fit(_spec(training={"method": "lora"}), QWEN3_4B)
    require_fit(_spec(gpu_model="cpu"), QWEN3_4B)
    require_fit(_spec(gpu_model="any"), QWEN3_4B)
    require_fit(_spec(), {"model_type": "other"})
    with pytest.raises(
        Invalid, match=r"needs about \d+ GiB and rtx3060 has 12: weights 7\.5, optimizer 59\.9"
    ) as caught:
        require_fit(_spec(gpu_model="rtx3060"), QWEN3_4B)
    assert caught.value.code == "gpu_memory"
    with pytest.raises(Invalid) as caught:
        require_fit(_spec(gpu_model="a100-40"), QWEN3_4B)
    assert "lora" in (caught.value.hint or "")


async def test_a_run_is_refused_before_it_is_made(tmp_path: Path):
    import httpx

    from skyscale.runs.base_models import require_model

    for file in MODEL_DIR.iterdir():
        if file.suffix != ".safetensors" and file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((MODEL_DIR / "config.json").read_text())
    async with httpx.AsyncClient() as http:
        await require_model(_spec(base_model=str(tmp_path), gpu_model="t4"), http)
        (tmp_path / "config.json").write_text(json.dumps(config | QWEN3_4B))
        with pytest.raises(Invalid, match="optimizer"):
            await require_model(_spec(base_model=str(tmp_path), gpu_model="t4"), http)
