"""The mixer over HTTP: stateless routes over the store. No sample passes through it; importing it loads FastAPI."""

from mixer.service.application import create_app

__all__ = ["create_app"]
