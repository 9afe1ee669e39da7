"""How much of anything one request or connection may take."""

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """`head_s`: from a connection's begin, or a request's first byte, to the end of its head; `body_s`: from there to the
    body's end; `answer_s`: from the head until the answer is taken; `idle_s`: between two requests of a connection.
    """

    head_s: float = 10.0
    body_s: float = 10.0
    answer_s: float = 120.0
    idle_s: int = 30
    head_bytes: int = 1 << 15
    body_bytes: int = 1 << 20
    path_bytes: int = 2048
    query_bytes: int = 2048
    connections: int = 4096
