"""A text game: guess a number from 1 to 32. Fewer guesses earn more.

skyscale runs create --environment examples/guess_the_number/environment.py --max-turns 6
"""

import random
import re

HIGHEST = 32
MAX_GUESSES = 6


class Environment:
    """One episode: `reset` draws the number from the task's seed, `step` answers a guess."""

    def reset(self, task: dict) -> str:
        """The rules."""
        self.number = random.Random(task["seed"]).randint(1, HIGHEST)
        self.guesses = 0
        return f"I think of a number from 1 to {HIGHEST}. You have {MAX_GUESSES} guesses. Answer with a number."

    def step(self, action: str) -> tuple[str, float, bool]:
        """`higher` or `lower`; the first number in the answer is the guess."""
        self.guesses += 1
        found = re.search(r"\d{1,6}", action)
        guess = int(found[0]) if found else None
        if guess == self.number:
            return "Right.", 1.0 - 0.05 * (self.guesses - 1), True
        is_over = self.guesses == MAX_GUESSES
        if guess is None:
            return "That is not a number.", 0.0, is_over
        return f"It is {'higher' if guess < self.number else 'lower'} than {guess}.", 0.0, is_over
