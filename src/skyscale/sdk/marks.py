"""Marks on functions and methods of an `App`; they change nothing else."""

from collections.abc import Callable
from typing import Any, Literal, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
_METHOD, _ENTER, _WEB = "__skyscale_method__", "__skyscale_enter__", "__skyscale_web__"


def method() -> Callable[[F], F]:
    """A method that is called on the platform."""
    return _marking(_METHOD, True)


def enter() -> Callable[[F], F]:
    """A method that is called once before the others."""
    return _marking(_ENTER, True)


def web_endpoint(
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST", path: str = "/", *, is_public: bool = False
) -> Callable[[F], F]:
    """A function or method with an address of its own, below the decorator of the app.

    A GET or DELETE passes its query as keyword arguments (texts), the others their JSON object.
    """
    return _marking(_WEB, {"method": method, "path": path, "is_public": is_public})


def web_of(function: object) -> dict[str, Any] | None:
    """How a marked function is called over HTTP."""
    return getattr(function, _WEB, None)


def method_names(cls: type[Any]) -> list[str]:
    """Marked methods of a class, inherited ones too."""
    return [name for name in dir(cls) if any(hasattr(getattr(cls, name), mark) for mark in (_METHOD, _WEB))]


def enters_of(cls: type[Any]) -> list[str]:
    """Methods to be called first, in the order in which they stand."""
    return [name for name, member in vars(cls).items() if hasattr(member, _ENTER)]


def _marking(name: str, value: object) -> Callable[[F], F]:
    def mark(function: F) -> F:
        setattr(function, name, value)
        return function

    return mark
