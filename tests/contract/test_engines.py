"""What every engine promises (`policy/engine.py`), held against each one that is installed."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio
import torch
from safetensors.torch import load_file, save_file
from transformers import Qwen3Config, Qwen3ForCausalLM

from skyscale.decoder.checkpoint import load_decoder
from skyscale.decoder.lora import LoraConfig, attach, save_adapter
from skyscale.decoder.model import Decoder
from skyscale.errors import Invalid, Unavailable
from skyscale.policy.engine import Completion, Engine, GenerateRequest
from skyscale.policy.loading import ENGINES, load_engine, open_engine


def make_model(folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=80, hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=32, max_position_embeddings=2048, tie_word_embeddings=True,
        initializer_range=0.15, eos_token_id=1,
    )  # fmt: skip
    Qwen3ForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("base"), 0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("trained"), 1)


@pytest_asyncio.fixture(params=sorted(ENGINES))
async def engine(request: pytest.FixtureRequest, base: Path) -> AsyncGenerator[Engine]:
    try:
        load_engine(request.param)
    except Invalid as e:
        pytest.skip(e.detail)
    engine = open_engine(request.param, base, version=0, decode=lambda ids: "".join(chr(48 + i) for i in ids))
    await engine.start()
    yield engine
    await engine.stop()


def ask(**changes: object) -> GenerateRequest:
    values = {"prompt_ids": [3, 4, 5, 6], "max_new_tokens": 24, "seed": 7} | changes
    return GenerateRequest(**values)  # type: ignore[arg-type]


async def test_tokens_depend_on_the_seed_and_not_on_the_load(engine: Engine) -> None:
    alone = await engine.generate(ask(n=3))
    others = [ask(prompt_ids=list(range(2, 5 + i)), n=1 + i % 4, seed=i, max_new_tokens=5 + i) for i in range(20)]
    _, among_others, _ = await asyncio.gather(
        asyncio.gather(*map(engine.generate, others[:10])),
        engine.generate(ask(n=3)),
        asyncio.gather(*map(engine.generate, others[10:])),
    )
    assert [completion.token_ids for completion in among_others] == [completion.token_ids for completion in alone]
    for ours, theirs in zip(among_others, alone, strict=True):
        assert ours.logprobs == pytest.approx(theirs.logprobs, abs=1e-5)
    assert len({tuple(completion.token_ids) for completion in alone}) == 3
    assert (await engine.generate(ask(seed=8)))[0].token_ids != alone[0].token_ids


async def test_logprobs_are_those_of_the_decoder_at_the_temperature(engine: Engine, base: Path) -> None:
    decoder = load_decoder(base)
    for temperature in (0.5, 1.0, 2.0):
        completions = await engine.generate(ask(n=4, temperature=temperature, ignore_eos=True))
        for completion in completions:
            assert len(completion.token_ids) == 24
            ids = torch.tensor([[3, 4, 5, 6, *completion.token_ids]])
            with torch.no_grad():
                logits = decoder.logits(decoder(ids, torch.arange(ids.shape[1])[None]))[0, 3:-1] / temperature
            sampled = logits.log_softmax(-1).gather(1, ids[0, 4:, None]).squeeze(1)
            assert (sampled - torch.tensor(completion.logprobs)).abs().max().item() < 1e-4


async def test_prompts_that_do_not_fit_one_step_are_sampled_as_if_alone(engine: Engine) -> None:
    prompts = [[2 + (i * j) % 78 for j in range(1, 301)] for i in range(1, 17)]
    alone = [await engine.generate(ask(prompt_ids=prompts[i], n=2, max_new_tokens=4)) for i in (0, 7, 15)]
    together = await asyncio.gather(*(engine.generate(ask(prompt_ids=each, n=2, max_new_tokens=4)) for each in prompts))
    for place, expected in zip((0, 7, 15), alone, strict=True):
        assert [each.token_ids for each in together[place]] == [each.token_ids for each in expected]


async def test_sampled_frequencies_are_the_models_probabilities(engine: Engine, base: Path) -> None:
    decoder = load_decoder(base)
    with torch.no_grad():
        probabilities = decoder.logits(decoder(torch.tensor([[3, 4]]), torch.tensor([[0, 1]])))[0, -1].softmax(-1)
    counts = torch.zeros(80)
    for seed in range(16):
        for completion in await engine.generate(ask(prompt_ids=[3, 4], n=256, max_new_tokens=1, seed=seed)):
            counts[completion.token_ids[0]] += 1
    # 4096 draws: the standard error of a probability p is sqrt(p (1 - p) / 4096), at most 0.0078.
    assert (counts / counts.sum() - probabilities).abs().max().item() < 0.03


async def test_end_of_sequence_is_recorded_and_ends_the_completion(engine: Engine) -> None:
    completions = await engine.generate(ask(n=64, max_new_tokens=300))
    ended = [completion for completion in completions if completion.finish_reason == "stop"]
    assert ended
    for completion in ended:
        assert completion.token_ids.index(1) == len(completion.token_ids) - 1
    assert all(len(c.token_ids) == 300 for c in completions if c.finish_reason == "length")


async def test_a_swap_in_mid_generation_interrupts_nothing(engine: Engine, trained: Path) -> None:
    generating = asyncio.create_task(engine.generate(ask(n=8, max_new_tokens=1500, ignore_eos=True)))
    await until(lambda: engine.stats().generated_tokens > 200)
    swap = await engine.reload(trained, 1)
    assert swap.version == engine.stats().version == 1
    completions = await generating
    decoder = load_decoder(trained)
    for completion in completions:
        assert len(completion.token_ids) == 1500
        assert completion.versions == sorted(completion.versions)
        assert set(completion.versions) == {0, 1}
    # What is sampled from now on is sampled by the new weights alone.
    fresh = (await engine.generate(ask(max_new_tokens=8, temperature=0, ignore_eos=True)))[0]
    assert fresh.versions == [1] * 8
    with torch.no_grad():
        logits = decoder.logits(decoder(torch.tensor([[3, 4, 5, 6]]), torch.arange(4)[None]))
    assert fresh.token_ids[0] == int(logits[0, -1].argmax())


def make_adapter(base: Path, folder: Path, seed: int) -> Decoder:
    """An adapter of `base` in `folder` as the trainer writes it, and the decoder that it makes of the base."""
    decoder, config = load_decoder(base), LoraConfig(4, 8.0)
    attach(decoder, config, seed=seed)
    adapter = {name: each for name, each in decoder.named_parameters() if each.requires_grad}
    with torch.no_grad():
        for name, each in adapter.items():
            if ".up." in name:
                each.normal_(0.0, 0.3, generator=torch.Generator().manual_seed(len(name) + seed))
    folder.mkdir()
    save_adapter(adapter, config, folder, base_folder=base, base_name=str(base))
    return decoder


def off_by(decoder: Decoder, completion: Completion, since: int = 0) -> float:
    """The largest distance between a completion's logprobs and the decoder's, its prompt being that of `ask`."""
    ids = torch.tensor([[3, 4, 5, 6, *completion.token_ids]])
    with torch.no_grad():
        hidden = decoder(ids, torch.arange(ids.shape[1])[None])
        sampled = decoder.logits(hidden)[0, 3:-1].log_softmax(-1).gather(1, ids[0, 4:, None]).squeeze(1)
    return (sampled - torch.tensor(completion.logprobs))[since:].abs().max().item()


async def test_torch_computes_what_is_in_flight_anew_when_told_to(
    base: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKYSCALE_TORCH_RECOMPUTE_ON_SWAP", "true")
    engine, decoder = open_engine("torch", base, version=0, decode=str), load_decoder(trained)
    await engine.start()
    generating = asyncio.create_task(engine.generate(ask(n=4, max_new_tokens=1500, ignore_eos=True)))
    await until(lambda: engine.stats().generated_tokens > 200)
    await engine.reload(trained, 1)
    for completion in await generating:
        since = completion.versions.index(1)
        assert 0 < since < 1500
        assert off_by(decoder, completion, since) < 1e-4, "tokens of version 1 are version 1's alone"
    await engine.stop()


async def test_adapters_are_swapped_in_flight_and_each_counts_alone(engine: Engine, base: Path, tmp_path: Path) -> None:
    decoders = {version: make_adapter(base, tmp_path / str(version), seed=version) for version in (1, 2, 3)}
    generating = asyncio.create_task(engine.generate(ask(n=4, max_new_tokens=2000, ignore_eos=True)))
    for version, decoder in decoders.items():
        sampled = engine.stats().generated_tokens
        await until(lambda sampled=sampled: engine.stats().generated_tokens > sampled + 50)
        await engine.reload(tmp_path / str(version), version)
        (fresh,) = await engine.generate(ask(max_new_tokens=8, ignore_eos=True))
        assert fresh.versions == [version] * 8
        assert off_by(decoder, fresh) < 1e-4, "merged into the base, not into the adapter before it"
    for completion in await generating:
        assert completion.versions == sorted(completion.versions)
        assert set(completion.versions) == {0, 1, 2, 3}
    await engine.reload(base, 4)
    (fresh,) = await engine.generate(ask(max_new_tokens=8, ignore_eos=True))
    assert off_by(load_decoder(base), fresh) < 1e-4, "and back to the base"


@pytest.mark.parametrize("damage", ["truncated", "misshapen", "missing", "not a number"])
async def test_damaged_weights_are_never_activated(damage: str, engine: Engine, trained: Path, tmp_path: Path) -> None:
    tensors = load_file(trained / "model.safetensors")
    if damage == "misshapen":
        tensors["model.norm.weight"] = torch.ones(47)
    if damage == "missing":
        del tensors["model.norm.weight"]
    if damage == "not a number":
        tensors["model.norm.weight"][3] = float("nan")
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    if damage == "truncated":
        path = tmp_path / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-40])
    before = (await engine.generate(ask()))[0]
    generating = asyncio.create_task(engine.generate(ask(max_new_tokens=500)))
    with pytest.raises(Invalid):
        await engine.reload(tmp_path, 1)
    assert set((await generating)[0].versions) == {0}
    assert (await engine.generate(ask()))[0].token_ids == before.token_ids
    assert (engine.stats().version, engine.stats().failed_swaps) == (0, 1)


async def test_a_stream_gives_the_tokens_of_the_whole_reply(engine: Engine) -> None:
    whole = await engine.generate(ask(n=2))
    streamed = [Completion(0), Completion(1)]
    async for event in engine.stream(ask(n=2)):
        streamed[event.index].token_ids.append(event.token_id)
        streamed[event.index].logprobs.append(event.logprob)
        streamed[event.index].finish_reason = event.finish_reason
    for ours, theirs in zip(streamed, whole, strict=True):
        assert (ours.token_ids, ours.finish_reason) == (theirs.token_ids, theirs.finish_reason)
        assert ours.logprobs == pytest.approx(theirs.logprobs, abs=1e-5)


async def test_cancelling_frees_the_rows(engine: Engine) -> None:
    task = asyncio.create_task(engine.generate(ask(n=16, max_new_tokens=1900, ignore_eos=True)))
    await until(lambda: engine.stats().running == 16)
    task.cancel()
    await until(lambda: engine.stats().running == 0)
    stream = engine.stream(ask(max_new_tokens=1900, ignore_eos=True))
    await anext(stream)
    await stream.aclose()
    await until(lambda: engine.stats().running == 0)


async def test_cancelling_one_of_many_leaves_the_others_as_they_are(engine: Engine) -> None:
    """The last row takes the place of the one that goes."""
    alone = await engine.generate(ask(n=4, max_new_tokens=400, ignore_eos=True))
    first = engine.stream(ask(max_new_tokens=1900, ignore_eos=True))
    await anext(first)
    others = asyncio.create_task(engine.generate(ask(n=4, max_new_tokens=400, ignore_eos=True)))
    await until(lambda: engine.stats().running == 5)
    await first.aclose()
    assert [each.token_ids for each in await others] == [each.token_ids for each in alone]
    assert engine.failure() is None


async def test_idle_time_is_counted_while_it_lasts(engine: Engine) -> None:
    await engine.generate(ask())
    await until(lambda: engine.stats().running == 0)
    await asyncio.sleep(0.05)  # the step that ended the last row is counted after its callers are told
    before = engine.stats()
    await asyncio.sleep(0.2)
    after = engine.stats()
    assert after.idle_s - before.idle_s == pytest.approx(0.2, abs=0.1)
    assert after.busy_s == before.busy_s


async def test_more_samples_than_fit_at_once_all_come(engine: Engine) -> None:
    results = await asyncio.gather(*(engine.generate(ask(n=200, max_new_tokens=3, seed=i)) for i in range(3)))
    assert [len(completions) for completions in results] == [200, 200, 200]
    assert [completion.index for completion in results[1]] == list(range(200))


async def test_stop_strings_end_a_completion(engine: Engine) -> None:
    free = (await engine.generate(ask(ignore_eos=True)))[0].token_ids
    stop = "".join(chr(48 + token) for token in free[5:7])
    stopped = (await engine.generate(ask(ignore_eos=True, stop=(stop,))))[0]
    assert stopped.finish_reason == "stop"
    assert stopped.token_ids == free[: len(stopped.token_ids)]
    assert len(stopped.token_ids) <= 7


@pytest.mark.parametrize(
    "change", [{"prompt_ids": []}, {"prompt_ids": [80]}, {"prompt_ids": [-1]}, {"max_new_tokens": 2045}, {"n": 0}]
)
async def test_what_cannot_be_generated_is_refused(change: dict, engine: Engine) -> None:
    with pytest.raises(Invalid):
        await engine.generate(ask(**change))


async def test_stopping_fails_what_is_in_flight(engine: Engine) -> None:
    task = asyncio.create_task(engine.generate(ask(n=4, max_new_tokens=1900, ignore_eos=True)))
    await until(lambda: engine.stats().running == 4)
    await engine.stop()
    with pytest.raises(Unavailable):
        await task
    with pytest.raises(Unavailable):
        await engine.generate(ask())


async def until(condition, deadline_s: float = 10.0) -> None:
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110 - engines have no event for their counters
            await asyncio.sleep(0.002)
