"""The typed client of the mixer service."""

from mixer.client.client import MixerClient

__all__ = ["MixerClient"]
