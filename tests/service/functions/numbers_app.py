"""An app as a user writes one: deployed by the tests."""

import os
from pathlib import Path

import skyscale

app = skyscale.App("Numbers")
image = skyscale.Image().pip_install("greeting")


@app.function(
    memory=128,
    timeout=10,
)
def square(n: int) -> int:
    return n * n


@app.function
def where() -> list[str]:
    return [str(Path.cwd()), str(os.getpid())]


@app.function(image=image)
def greet(name: str) -> str:
    import greeting

    return greeting.greet(name)


@app.function
def nested(n: int) -> int:
    return square.local(n) + square(n)


@app.function
def fails() -> None:
    raise KeyError("nothing here")


@app.function
@skyscale.web_endpoint(method="GET", path="/double")
def double(n: str = "0") -> int:
    return 2 * int(n)


@app.cls(memory=128)
class Counter:
    def __init__(self, start: int = 0) -> None:
        self.value = start

    @skyscale.enter()
    def prepare(self) -> None:
        self.value += 100

    @skyscale.method()
    def add(self, n: int) -> int:
        self.value += n
        return self.value


if __name__ == "__main__":
    app.deploy()
