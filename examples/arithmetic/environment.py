"""Word problems with a verifier: drawn from the seed, answered with a number, checked exactly. Two attempts.

skyscale runs create --environment examples/arithmetic/environment.py --max-turns 2
"""

import random
import re
from fractions import Fraction

NAMES = ("Ada", "Ben", "Chen", "Dalia", "Emre", "Femi")
THINGS = ("apples", "books", "coins", "marbles", "stamps")


def problem(seed: int) -> tuple[str, int]:
    """A question and its answer."""
    draw = random.Random(seed)
    name, thing = draw.choice(NAMES), draw.choice(THINGS)
    boxes, each, lost, price = draw.randint(2, 9), draw.randint(2, 12), draw.randint(1, 3), draw.randint(2, 9)
    left = boxes * each - lost
    kinds = (
        (f"{name} has {boxes} boxes of {each} {thing} and loses {lost}. How many {thing} are left?", left),
        (f"{name} buys {boxes} boxes of {each} {thing}, {price} euros a box. What does it cost?", boxes * price),
        (f"{name} has {each} {thing}, gets {boxes} more and gives {lost} away. How many?", each + boxes - lost),
    )
    return draw.choice(kinds)


def verified(text: str, answer: int) -> bool:
    """Whether the last number in the text, behind `####` if there is one, is the answer."""
    numbers = re.findall(r"-?\d[\d,]*(?:\.\d+)?", text.rpartition("####")[2])
    return bool(numbers) and Fraction(numbers[-1].replace(",", "")) == answer


class Environment:
    """One episode: a question, and a second attempt at half the reward."""

    def reset(self, task: dict) -> str:
        """The question."""
        question, self.answer = problem(task["seed"])
        self.attempts = 0
        return f"{question} End with #### and the number."

    def step(self, action: str) -> tuple[str, float, bool]:
        """Right, or one more try."""
        self.attempts += 1
        if verified(action, self.answer):
            return "Right.", 1.0 / self.attempts, True
        return "That is not right. Think again, and end with #### and the number.", 0.0, self.attempts == 2
