"""The queue that a command means. Imports nothing heavy."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from generators.queue.redis_job_queue import RedisJobQueue


def open_queue(options: argparse.Namespace) -> "RedisJobQueue":
    """Raises: QueueError when no Redis is named."""
    from generators.errors import QueueError
    from generators.queue.redis_job_queue import queue_of
    from streamer.catalog.catalog import Catalog

    if options.redis is None:
        raise QueueError("no Redis is known: start phasemix up for this root, or name one with --redis or PHASEMIX_REDIS")
    return queue_of(Catalog(options.root), options.redis)
