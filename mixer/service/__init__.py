"""The mixer over HTTP: stateless routes over the store. No sample passes through it.

Always holds: importing this package loads nothing; FastAPI comes with `create_app`.
"""

from typing import TYPE_CHECKING

from streamer.public_names import found_in

if TYPE_CHECKING:
    from mixer.service.application import create_app as create_app

__all__ = ["create_app"]

__getattr__, __dir__ = found_in("mixer.service", {"create_app": "application"})
