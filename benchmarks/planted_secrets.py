"""Made-up secrets with the shapes and checksums of real ones, and lines of code that hold them.

Always holds: no secret is anybody's; each is drawn from a seeded generator when it is needed, so none stands in a file.
"""

import base64
import json
import string
import zlib
from collections.abc import Callable
from random import Random

LETTERS = string.ascii_letters
MIXED = LETTERS + string.digits
URL_SAFE = MIXED + "-_"
HEX = "0123456789abcdef"
BASE32 = string.ascii_uppercase + "234567"
BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase

LINES = (
    'key = "{}"',
    "const client = connect('{}');",
    '{{"name": "prod", "value": "{}"}}',
    "    # the old one was {}",
    'String value = "{}"; // größer, 値',
    "/* π≈3 */ static const char *value = \"{}\";",
)  # fmt: skip


def draw(random: Random, letters: str, count: int) -> str:
    return "".join(random.choice(letters) for _ in range(count))


def url_safe(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def checked(random: Random, prefix: str) -> str:
    """30 random characters and their CRC32 in base 62, as GitHub and npm write tokens."""
    body, rest, checksum = draw(random, MIXED, 30), 0, ""
    rest = zlib.crc32(body.encode())
    while rest:
        rest, digit = divmod(rest, 62)
        checksum = BASE62[digit] + checksum
    return f"{prefix}{body}{checksum.rjust(6, '0')}"


def json_web_token(random: Random) -> str:
    header = json.dumps({"alg": "HS256", "typ": "JWT"}).encode()
    claims = json.dumps({"sub": str(random.randrange(10**9)), "iat": 1_600_000_000 + random.randrange(10**8)}).encode()
    return ".".join(map(url_safe, (header, claims, random.randbytes(32))))


def private_key(random: Random) -> str:
    body = base64.b64encode(random.randbytes(random.choice((121, 609, 1190)))).decode()
    kind = random.choice(("RSA ", "EC ", "OPENSSH ", ""))
    lines = [body[place : place + 64] for place in range(0, len(body), 64)]
    return "\n".join([f"-----BEGIN {kind}PRIVATE KEY-----", *lines, f"-----END {kind}PRIVATE KEY-----"])


def password(random: Random) -> str:
    return draw(random, LETTERS, 6) + draw(random, "!#*+", 1) + draw(random, string.digits, 3) + draw(random, LETTERS, 3)


def openai(random: Random) -> str:
    mark = base64.b64encode(b"OpenAI").decode()
    return f"sk-proj-{draw(random, URL_SAFE, 74)}{mark}{draw(random, URL_SAFE, 74)}"


def discord(random: Random) -> str:
    user = url_safe(str(random.randrange(2 * 10**17, 10**18)).encode())
    return f"{user}.{draw(random, MIXED, 6)}.{draw(random, URL_SAFE, 38)}"


def slack(random: Random) -> str:
    return f"xoxb-{draw(random, '123456789', 12)}-{draw(random, '123456789', 12)}-{draw(random, MIXED, 24)}"


KINDS: dict[str, Callable[[Random], str]] = {
    "Anthropic key": lambda random: f"sk-ant-api03-{draw(random, URL_SAFE, 93)}AA",
    "AWS key id": lambda random: f"AKIA{draw(random, BASE32, 16)}",
    "Discord bot": discord,
    "GitHub token": lambda random: checked(random, "ghp_"),
    "GitLab token": lambda random: f"glpat-{draw(random, URL_SAFE, 20)}",
    "Google key": lambda random: f"AIzaSy{draw(random, URL_SAFE, 33)}",
    "Hugging Face token": lambda random: f"hf_{draw(random, LETTERS, 34)}",
    "JSON web token": json_web_token,
    "Mailgun key": lambda random: f"key-{draw(random, HEX, 32)}",
    "npm token": lambda random: checked(random, "npm_"),
    "OpenAI key": openai,
    "private key": private_key,
    "PyPI token": lambda random: "pypi-" + "AgEIcHlwaS5vcmc" + url_safe(random.randbytes(110)),
    "SendGrid key": lambda random: f"SG.{draw(random, URL_SAFE, 22)}.{draw(random, URL_SAFE, 43)}",
    "Slack token": slack,
    "Stripe key": lambda random: f"sk_live_{draw(random, MIXED, random.choice((24, 99)))}",
    "Telegram bot": lambda random: f"{draw(random, '123456789', 10)}:AA{draw(random, URL_SAFE, 33)}",
}
NAMED: dict[str, tuple[str, Callable[[Random], str]]] = {  # told by what stands before them
    "AWS secret": ('aws_secret_access_key = "{}"', lambda random: draw(random, MIXED + "+/", 40)),
    "key of a service": ('    "client_secret": "{}",', lambda random: draw(random, MIXED, 32)),
    "password of a connection": (
        'var to = "Server=db;User Id=app;Password={};Encrypt=true";',
        lambda random: draw(random, LETTERS, 4) + draw(random, string.digits, 2) + draw(random, MIXED, 6),
    ),
    "password": ("  password: '{}',", password),
    "password of a shell": (
        "export DB_PASSWORD={}",
        lambda random: draw(random, LETTERS, 7) + draw(random, string.digits, 4),
    ),
    "password of a URI": ("url = 'postgresql://app:{}@db.corp.net:5432/app'", lambda random: draw(random, MIXED, 14)),
}
ALL_KINDS = (*KINDS, *NAMED)


def plant(kind: str, random: Random) -> tuple[str, str]:
    """A secret of a kind, and lines of code that hold it."""
    if kind in NAMED:
        line, make = NAMED[kind]
    else:
        line, make = random.choice(LINES), KINDS[kind]
    secret = make(random)
    return secret, line.format(secret)
