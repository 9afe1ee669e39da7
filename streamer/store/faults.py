"""What an object store's error means: its reason in a few words, the remedy, and whether another attempt may help.

Always holds: what is said is one line without credentials. User names in addresses and their queries, which may be
signatures, are cut; of a server's answer only its code and its message are taken.

obstore has few classes of errors, so the text decides, which is the server's answer or the client's own account of what
happened (`kind: Connect` and the like). tests/streamer/store/test_faults.py shows every line against real servers.
"""

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from streamer.store.environment import PREFIXES

ABSENT_CODES = ("NoSuchKey", "BlobNotFound", "PathNotFound", "ResourceNotFound", "")
BUCKET_CODES = ("NoSuchBucket", "ContainerNotFound", "FilesystemNotFound")
REGION_WORDS = (
    "AuthorizationHeaderMalformed",
    "PermanentRedirect",
    "redirect without LOCATION",
    "IllegalLocationConstraint",
)
CREDENTIAL_CODES = ("ExpiredToken", "InvalidToken", "TokenRefreshRequired")
CREDENTIAL_PLACES = ("169.254.169.254", "169.254.170.2", "/latest/api/token", "metadata.google.internal", "metadata.gke")
CREDENTIALS = {
    "AWS_": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (AWS_PROFILE is not read: aws configure export-credentials)",
    "GOOGLE_": "GOOGLE_APPLICATION_CREDENTIALS",
    "AZURE_": "AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN",
}
ENDPOINTS = {"AWS_": "AWS_ENDPOINT_URL", "GOOGLE_": "GOOGLE_BASE_URL", "AZURE_": "AZURE_STORAGE_ENDPOINT"}
MOST_TEXT = 200  # characters of a server's message


class Fault(NamedTuple):
    """Why a call failed. `passes`: trying again may help. `refused`: the request has certainly changed nothing."""

    reason: str
    remedy: str
    passes: bool
    refused: bool


def is_absent(text: str) -> bool:
    """Whether a 404 says that there is no such object, and not that the bucket or the whole store is missing."""
    return code_in(text) in ABSENT_CODES and "<html" not in text.lower()


def find_fault(url: str, text: str) -> Fault:
    """Returns what the text of an error says about a call to the store at `url`."""
    prefix, bucket = PREFIXES[urlsplit(url).scheme], urlsplit(url).netloc.partition("@")[0]
    said, _, details = text.partition("\n\nDebug source:")
    found = re.search(r"performing \w+ (\w+://\S+)", said)
    server = address_of(found[1] if found is not None else "")
    place = f" at {server}" if server else ""
    status = re.search(r"status code: (\d{3})(?: ([A-Za-z ]+))?", said)
    number, code = int(status[1]) if status is not None else 0, code_in(text)
    answer = answer_of(text, number, (status[2] or "").strip() if status is not None else "")
    if code in BUCKET_CODES:
        return Fault(f"bucket {bucket} does not exist{place} ({code})", "create it, or correct the address", False, True)
    if any(where in said for where in CREDENTIAL_PLACES):
        reason = "there are no credentials: the environment has none and the platform's metadata service gives none"
        return Fault(reason, f"set {CREDENTIALS[prefix]}", True, True)
    if any(word in text for word in REGION_WORDS):
        reason = f"the bucket is in another region{place} ({answer or 'the server sends the client elsewhere'})"
        return Fault(reason, "set AWS_REGION to the bucket's region", False, True)
    if "BadScheme" in details:
        remedy = f"use https, or set {prefix}ALLOW_HTTP=true for a server without TLS"
        return Fault(f"plain http is not allowed{place}", remedy, False, True)
    if number in (401, 403) or code in CREDENTIAL_CODES:
        remedy = f"check the credentials and their rights: {CREDENTIALS[prefix]}"
        return Fault(f"access was denied{place} ({answer})", remedy, False, True)
    if number == 404:
        return Fault(f"the server{place} answered {answer}", f"check the address and {ENDPOINTS[prefix]}", False, True)
    if number in (408, 429) or (number >= 500 and number != 501):
        return Fault(f"the server{place} answered {answer}", "try again later", True, False)
    if number:
        return Fault(f"the server{place} answered {answer}", f"check the address and {ENDPOINTS[prefix]}", False, True)
    return broken(said, details, place, ENDPOINTS[prefix])


def broken(said: str, details: str, place: str, endpoint: str) -> Fault:
    """A call that brought no answer."""
    if "kind: Connect," in details:  # and not a ConnectionReset, which may come after the request
        remedy = f"check that the server runs, the network, and {endpoint}"
        if "InvalidContentType" in details or "ertificate" in details:
            remedy = f"if the server speaks plain http or has a certificate of its own, say so: {endpoint}, or SSL_CERT_FILE"
            return Fault(f"no TLS connection can be made{place}", remedy, False, True)
        if "dns error" in details:
            return Fault(f"the server's name is not known{place}", remedy, True, True)
        why = "the connection was refused" if "ConnectionRefused" in details else "no connection can be made"
        return Fault(f"{why}{place}", remedy, True, True)
    if "kind: Timeout" in details or "TimedOut" in details:
        return Fault(f"there was no answer in time{place}", "try again later, or check the network", True, False)
    if "HTTP error" in said or "kind: Request" in details or "kind: Body" in details or "body" in said:
        return Fault(f"the connection broke{place}", "try again later, or check the network", True, False)
    return Fault(clean(said), f"check the address and {endpoint}", False, False)


def code_in(text: str) -> str:
    """The code of an answer in XML or JSON, empty where there is none."""
    found = re.search(r"<Code>(\w+)</Code>", text) or re.search(r'"code":\s*"(\w+)"', text)
    return found[1] if found is not None else ""


def answer_of(text: str, number: int, phrase: str) -> str:
    """The status, code and message of an answer, as far as it has them."""
    message = re.search(r"<Message>([^<]+)</Message>", text) or re.search(r'"message":\s*"([^"]+)"', text)
    words = [f"{number} {phrase}".strip() if number else "", code_in(text), clean(message[1]) if message is not None else ""]
    return ": ".join(word for word in words if word)


def address_of(url: str) -> str:
    """The scheme and server of an address, without a user's name."""
    found = urlsplit(url)
    return f"{found.scheme}://{found.netloc.rpartition('@')[2]}" if found.netloc else ""


def clean(text: str) -> str:
    """One line, not too long, without what may be a secret in an address."""
    line = " ".join(map(clean_word, text[: 20 * MOST_TEXT].split()))
    return line if len(line) <= MOST_TEXT else f"{line[:MOST_TEXT]}..."


def clean_word(word: str) -> str:
    """An address without its user and its query; any other word as it is."""
    scheme, slashes, rest = word.partition("://")
    if not slashes:
        return word
    server, slash, path = rest.partition("?")[0].partition("/")
    return f"{scheme}://{server.rpartition('@')[2]}{slash}{path}"
