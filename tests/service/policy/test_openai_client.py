"""The official openai client against a real server process."""

import time
from pathlib import Path

import httpx
import openai
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

MESSAGES = [{"role": "user", "content": "write a function that adds two numbers"}]


@pytest.fixture(scope="module")
def client(server_url: str):
    with openai.OpenAI(base_url=f"{server_url}/v1", api_key="unused", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def model(client: openai.OpenAI) -> str:
    return client.models.list().data[0].id


def test_n_completions_with_logprobs_ids_and_versions(client: openai.OpenAI, model: str) -> None:
    reply = client.chat.completions.create(
        model=model, messages=MESSAGES, n=3, max_tokens=12, seed=5, logprobs=True, temperature=0.9,
        extra_body={"return_token_ids": True},
    )  # fmt: skip
    assert [choice.index for choice in reply.choices] == [0, 1, 2]
    assert len({tuple(choice.token_ids) for choice in reply.choices}) == 3  # samples of one prompt differ
    assert reply.policy_version == 0
    assert reply.usage.prompt_tokens == len(reply.prompt_token_ids)
    assert reply.usage.completion_tokens == sum(len(choice.token_ids) for choice in reply.choices)
    for choice in reply.choices:
        flat = [entry.logprob for entry in choice.logprobs.content]
        assert flat == choice.token_logprobs
        assert len(choice.token_ids) == len(choice.versions) == len(flat) <= 12
        assert set(choice.versions) == {0}


def test_logprobs_and_prompt_agree_with_transformers(client: openai.OpenAI, model: str, model_folder: Path) -> None:
    reply = client.chat.completions.create(
        model=model, messages=MESSAGES, n=4, max_tokens=24, seed=11, temperature=0.7,
        extra_body={"return_token_ids": True},
    )  # fmt: skip
    template = AutoTokenizer.from_pretrained(model_folder)
    expected_prompt = template.apply_chat_template(MESSAGES, add_generation_prompt=True)["input_ids"]
    assert reply.prompt_token_ids == expected_prompt
    reference = AutoModelForCausalLM.from_pretrained(model_folder)
    for choice in reply.choices:
        ids = torch.tensor([expected_prompt + choice.token_ids])
        with torch.no_grad():
            logprobs = torch.log_softmax(reference(ids).logits[0, len(expected_prompt) - 1 : -1] / 0.7, dim=-1)
        theirs = logprobs.gather(1, torch.tensor(choice.token_ids)[:, None]).squeeze(1)
        assert (theirs - torch.tensor(choice.token_logprobs)).abs().max().item() < 1e-3


def test_a_stream_carries_the_same_tokens_as_a_plain_reply(client: openai.OpenAI, model: str) -> None:
    call = {"model": model, "messages": MESSAGES, "n": 2, "max_tokens": 10, "seed": 3, "logprobs": True}
    plain = client.chat.completions.create(**call, extra_body={"return_token_ids": True})
    texts, ids, reasons = ["", ""], [[], []], [None, None]
    options = {"include_usage": True}
    for chunk in client.chat.completions.create(
        **call, stream=True, stream_options=options, extra_body={"return_token_ids": True}
    ):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            ids[choice.index] += getattr(choice, "token_ids", None) or []
            reasons[choice.index] = choice.finish_reason or reasons[choice.index]
    assert chunk.usage.completion_tokens == plain.usage.completion_tokens
    for choice in plain.choices:
        assert ids[choice.index] == choice.token_ids
        assert texts[choice.index] == choice.message.content
        assert reasons[choice.index] == choice.finish_reason


def test_a_stop_string_ends_the_text_before_it_and_keeps_the_ids(client: openai.OpenAI, model: str) -> None:
    call = {"model": model, "prompt": "def f(a, b)", "max_tokens": 40, "seed": 1, "extra_body": {"ignore_eos": True}}
    free = client.completions.create(**call).choices[0].text
    stop = next(char for char in free[5:] if char.isascii() and char.isprintable())
    stopped = client.completions.create(
        **call | {"extra_body": {"ignore_eos": True, "return_token_ids": True}}, stop=stop
    )
    choice = stopped.choices[0]
    assert choice.text == free[: free.index(stop)]
    assert choice.finish_reason == "stop"
    assert len(choice.token_ids) < 40
    streamed = client.completions.create(**call, stop=[stop, "never"], stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed) == choice.text


def test_token_ids_as_a_prompt_and_greedy_sampling(client: openai.OpenAI, model: str) -> None:
    replies = [
        client.completions.create(
            model=model, prompt=[5, 6, 7], max_tokens=8, temperature=0, seed=seed, extra_body={"return_token_ids": True}
        )
        for seed in (1, 2)
    ]
    assert replies[0].prompt_token_ids == [5, 6, 7]
    assert replies[0].choices[0].token_ids == replies[1].choices[0].token_ids


@pytest.mark.parametrize(
    ("change", "status", "named"),
    [
        ({"model": "gpt-5"}, 404, "gpt-5"),
        ({"n": 0}, 400, "n"),
        ({"max_tokens": -1}, 400, "max_tokens"),
        ({"max_tokens": 600}, 400, "512"),
        ({"messages": [{"role": "user", "content": "long " * 600}]}, 400, "512"),
        ({"messages": []}, 400, "messages"),
        ({"top_p": 0.9}, 400, "top_p"),
        ({"extra_body": {"top_k": 5}}, 400, "top_k"),
        ({"extra_body": {"temprature": 5}}, 400, "temprature"),
        ({"temperature": -1}, 400, "temperature"),
    ],
)
def test_bad_input_is_refused_with_the_reason(
    client: openai.OpenAI, model: str, change: dict, status: int, named: str
) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(**{"model": model, "messages": MESSAGES, "max_tokens": 4} | change)
    assert caught.value.status_code == status
    assert named in caught.value.body["message"]


def test_reload_is_for_the_control_plane_alone(server_url: str) -> None:
    body = {"version": 1, "manifest_uri": "file:///nowhere/manifest.json"}
    assert httpx.post(f"{server_url}/reload", json=body).status_code == 401
    wrong = {"authorization": "Bearer wrong"}
    assert httpx.post(f"{server_url}/reload", json=body, headers=wrong).status_code == 403


def test_health_and_metrics_tell_version_and_tokens(server_url: str, client: openai.OpenAI, model: str) -> None:
    client.completions.create(model=model, prompt="a", max_tokens=2)
    health = httpx.get(f"{server_url}/health").json()
    assert (health["status"], health["model"], health["policy_version"]) == ("ready", model, 0)
    lines = dict(line.rsplit(" ", 1) for line in httpx.get(f"{server_url}/metrics").text.splitlines() if line[0] != "#")
    assert int(lines["skyscale_policy_generated_tokens_total"]) > 0
    assert lines["skyscale_policy_running"] == "0"


def test_a_caller_that_hangs_up_frees_what_it_held(server_url: str, model: str) -> None:
    body = {"model": model, "prompt": [5, 6], "n": 64, "max_tokens": 500, "ignore_eos": True}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{server_url}/v1/completions", json=body, timeout=0.1)
    deadline = time.monotonic() + 1.0
    while "skyscale_policy_running 0" not in httpx.get(f"{server_url}/metrics").text:
        # Left alone, 64 completions of 500 tokens would go on for several seconds.
        assert time.monotonic() < deadline
        time.sleep(0.02)
