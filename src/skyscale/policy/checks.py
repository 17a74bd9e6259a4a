"""What no engine can generate; the same refusals in front of each of them. Pure."""

from skyscale.errors import Invalid
from skyscale.policy.engine import GenerateRequest


def check_request(request: GenerateRequest, *, vocab_size: int, max_length: int) -> None:
    """Refuse a prompt that is empty, has unknown ids, or leaves no room for a token.

    Raises:
        Invalid: with what is wrong.
    """
    length = len(request.prompt_ids)
    if not length:
        raise Invalid("the prompt is empty: give at least one token")
    if min(request.prompt_ids) < 0 or max(request.prompt_ids) >= vocab_size:
        raise Invalid(f"a prompt token id is outside 0..{vocab_size - 1}")
    if request.n < 1 or request.max_new_tokens < 1 or request.temperature < 0:
        raise Invalid("n and max_new_tokens must be at least 1 and temperature at least 0")
    if length + request.max_new_tokens > max_length:
        raise Invalid(f"{length} prompt tokens and {request.max_new_tokens} new ones exceed the model's {max_length}")
