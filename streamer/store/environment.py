"""What the environment says of the connection to an object store.

Always holds: every setting that obstore itself would take from the environment is honoured. obstore reads all of them when
it is given none, but drops those of the connection as soon as it is given one. We give it timeouts, so we read them here.

The names are those of obstore's `ClientConfig`, in capitals behind AWS_, GOOGLE_ or AZURE_: AWS_ALLOW_HTTP, AZURE_PROXY_URL.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

PREFIXES = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_", "azure": "AZURE_", "abfs": "AZURE_"}
CONNECTION_SETTINGS = (
    "allow_http",
    "allow_invalid_certificates",
    "connect_timeout",
    "default_content_type",
    "http1_only",
    "http2_keep_alive_interval",
    "http2_keep_alive_timeout",
    "http2_keep_alive_while_idle",
    "http2_only",
    "pool_idle_timeout",
    "pool_max_idle_per_host",
    "proxy_ca_certificate",
    "proxy_excludes",
    "proxy_url",
    "randomize_addresses",
    "read_timeout",
    "timeout",
    "user_agent",
)


def connection_settings(url: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Returns what the environment sets of the connection to the store at `url`, as options for obstore's client."""
    prefix = PREFIXES[urlsplit(url).scheme]
    names = {name: prefix + name.upper() for name in CONNECTION_SETTINGS}
    found = {name: environment[variable] for name, variable in names.items() if environment.get(variable)}
    return {"allow_http": "true", **found} if prefix == "GOOGLE_" else found  # as obstore does for Google alone
