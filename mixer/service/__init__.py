"""The mixer over HTTP: stateless routes over the store. No sample passes through it.

Always holds: importing this package loads nothing; FastAPI comes with `create_app`.
"""

from typing import Any

__all__ = ["create_app"]


def __getattr__(name: str) -> Any:
    if name != "create_app":
        raise AttributeError(name)
    from mixer.service.application import create_app

    return create_app


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
