"""The shipped starter model: it loads untouched, speaks the problems' language, and has something left to learn."""

import json
from collections.abc import Iterator

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from skyscale.envs.registry import load_problem_set  # noqa: E402
from skyscale.starter.check import right_share_by_family, sample_answers  # noqa: E402
from skyscale.starter.corpus import Corpus  # noqa: E402
from skyscale.starter.location import MODEL_DIR  # noqa: E402
from skyscale.starter.tokenizer import chat_prompt, train_tokenizer  # noqa: E402
from skyscale.starter.warmup import Recipe, new_model, warm_up  # noqa: E402

SET = load_problem_set()


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """So small a model gains nothing from threads, and its seeded sums depend on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def tokenizer():
    return transformers.AutoTokenizer.from_pretrained(MODEL_DIR)


@pytest.fixture(scope="module")
def model():
    return transformers.AutoModelForCausalLM.from_pretrained(MODEL_DIR, dtype=torch.float32).eval()


def test_the_vocabulary_of_tokenizer_and_weights_agree(model, tokenizer) -> None:
    assert model.config.vocab_size == len(tokenizer) == model.get_input_embeddings().weight.shape[0]
    assert type(model).__name__ == "Qwen3ForCausalLM"
    assert model.config.eos_token_id == tokenizer.eos_token_id == tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert (MODEL_DIR / "model.safetensors").stat().st_size < 4_000_000


def test_the_chat_template_renders_one_user_message_as_chatml(tokenizer) -> None:
    user = [{"role": "user", "content": "Say 12."}]
    text = tokenizer.apply_chat_template(user, tokenize=False, add_generation_prompt=True)
    assert text == "<|im_start|>user\nSay 12.<|im_end|>\n<|im_start|>assistant\n" == chat_prompt("Say 12.")
    system = [{"role": "system", "content": "Be brief."}, *user]
    text = tokenizer.apply_chat_template(system, tokenize=False, add_generation_prompt=True)
    assert text == "<|im_start|>system\nBe brief.<|im_end|>\n" + chat_prompt("Say 12.")
    config = json.loads((MODEL_DIR / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert config["chat_template"] == tokenizer.chat_template


def test_the_tokenizer_alone_round_trips_any_text_with_single_digits(tokenizer) -> None:
    from tokenizers import Tokenizer

    alone = Tokenizer.from_file(str(MODEL_DIR / "tokenizer.json"))
    for text in ("def f(a, b):\n    return a + 3 * b", "Grüße, 世界 \t\r\n  x", "1234"):
        ids = alone.encode(text, add_special_tokens=False).ids
        assert alone.decode(ids, skip_special_tokens=False) == text
        assert tokenizer.encode(text) == ids
    assert len(alone.encode("1234").ids) == 4


def test_greedy_answers_are_programs_and_nearly_always_right(model, tokenizer) -> None:
    problems = SET.problems[::7]
    answers = sample_answers(model, tokenizer, [p.prompt for p in problems], greedy=True)
    assert sum(a == p.solution for p, a in zip(problems, answers, strict=True)) >= 0.9 * len(problems)
    for problem, answer in zip(problems, answers, strict=True):
        compile(answer, problem.id, "exec")
        assert answer.startswith("def f(") if problem.style == "calls" else "print(" in answer


def test_samples_are_right_in_about_two_fifths_of_cases(model, tokenizer) -> None:
    shares = right_share_by_family(model, tokenizer, list(SET.problems[::7]), samples=2, seed=1)
    assert 0.25 < sum(shares.values()) / len(shares) < 0.5


def test_the_same_seed_makes_the_same_weights() -> None:
    def make() -> list[float]:
        corpus = Corpus(3, variants_per_family=2)
        tokenizer = train_tokenizer(corpus.texts())
        small = new_model(tokenizer, 3)
        losses: list[float] = []
        recipe = Recipe(seed=3, steps=3, clean_steps=2, batch_size=4, warmup_steps=1)
        warm_up(small, tokenizer, corpus, recipe, lambda _, loss: losses.append(loss))
        return [*losses, *small.model.norm.weight.tolist()]

    assert make() == make()
