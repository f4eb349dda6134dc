"""The few functions of Ray that we call, in this process: for machines without Ray. It does not stand in for its tests."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any


class RayError(Exception):
    """As Ray's: an actor died."""


class FakeRay:
    """Calls run at once; `fails` says which calls, by method and first argument, end as if their actor died."""

    def __init__(self, resources: dict[str, float], fails: Callable[[str, tuple[Any, ...]], bool]) -> None:
        self.exceptions = SimpleNamespace(RayError=RayError)
        self.resources = resources
        self.options: list[dict[str, Any]] = []
        """Of every actor that was made."""
        self.killed = 0
        self.is_running = False
        self._fails = fails

    def is_initialized(self) -> bool:
        return self.is_running

    def init(self, **_: Any) -> None:
        self.is_running = True

    def shutdown(self) -> None:
        self.is_running = False

    def cluster_resources(self) -> dict[str, float]:
        return self.resources

    def remote(self, actor_class: type) -> Any:
        def options(**given: Any) -> Any:
            self.options.append(given)
            return SimpleNamespace(remote=lambda *arguments: self._handle(actor_class(*arguments)))

        return SimpleNamespace(options=options)

    def _handle(self, actor: Any) -> Any:
        methods = {name: self._method(name, getattr(actor, name)) for name in ("ready", "track")}
        return SimpleNamespace(**methods)

    def _method(self, name: str, function: Callable[..., Any]) -> Any:
        def remote(*arguments: Any) -> Any:
            if self._fails(name, arguments):
                return _Reference(error=RayError("The actor died unexpectedly.\nMore lines"))
            return _Reference(function(*arguments))

        return SimpleNamespace(remote=remote, options=lambda **_: SimpleNamespace(remote=remote))

    def wait(self, pending: list[Any], *, num_returns: int, timeout: float) -> tuple[list[Any], list[Any]]:
        return pending[:num_returns], pending[num_returns:]

    def get(self, reference: Any) -> Any:
        if reference.error is not None:
            raise reference.error
        return reference.value

    def kill(self, actor: Any, *, no_restart: bool) -> None:
        self.killed += 1


class _Reference:
    def __init__(self, value: Any = None, error: Exception | None = None) -> None:
        self.value = value
        self.error = error
