"""One request to an endpoint: the client, and what comes of a request, whatever the network and the server do."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from codeact.errors import InputError
from codeact.judge.settings import Settings
from codeact.redact import redact

if TYPE_CHECKING:
    from httpx2 import Client

CONNECT_S = 10.0
IDENTIFY_S = 5.0
LARGEST_LIST = 8 * 2**20
EXCERPT = 200  # characters of what a server said, in messages
VARIABLES = "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of one request.

    Attributes:
        failure: why there is no response: "timeout", "connection", "malformed"; empty: there is one.
        said: of the failure, by the network or the library.
        sent: whether the server may have worked on it, and may charge for it.
        again: whether another try may go better.
        code, headers, body: of the response; names of headers in small letters.
    """

    failure: str = ""
    said: str = ""
    sent: bool = True
    again: bool = True
    code: int = 0
    headers: Mapping[str, str] | None = None
    body: bytes = b""

    def header(self, name: str) -> str:
        """A header of the response; empty where it has none of this name."""
        return (self.headers or {}).get(name, "")


def open_client(http: ModuleType, settings: Settings, named: str) -> Client:
    """The client for all requests to an endpoint. A redirect is a failure, not followed: it could lead the key to another host.

    Args:
        http: the module httpx2.
        settings: address, key, and requests at the same time.
        named: the key of the recipe that the address is from, for messages.

    Raises:
        InputError: the key, or what the environment says of proxies and certificates, cannot be used.
    """
    odd = next((sign for sign in settings.key if not " " <= sign <= "~"), None)
    if odd is not None:
        raise InputError(
            f"{settings.section}.api_key_env: the key in that environment variable holds {odd!a}, which no key does; set it anew,"
            " without quotation marks and newlines in it"
        )
    headers = {"Authorization": f"Bearer {settings.key}"} if settings.key else {}
    try:
        client: Client = http.Client(
            limits=http.Limits(max_connections=settings.concurrency), headers=headers, follow_redirects=False,
            auth=None if settings.login is None else http.BasicAuth(*settings.login),
        )  # fmt: skip
    except (ImportError, ValueError, OSError, http.InvalidURL) as error:
        raise InputError(
            f"{named} {settings.address}: the connection cannot be made ready: {excerpt(str(error), settings)}; see the environment variables {VARIABLES}"
        ) from None
    return client


def post(
    http: ModuleType, client: Client, settings: Settings, path: str, payload: Mapping[str, Any], largest: int, named: str,
    heard: Callable[[], None] = lambda: None,
) -> Reply:  # fmt: skip
    """Send one request body and read the whole response, at most `largest` bytes of it and in at most `settings.timeout` seconds.

    `heard` is called as soon as the server answers at all, by whatever.

    Raises:
        InputError: the address is none.
    """
    return _exchange(http, client, settings, "POST", path, json.dumps(payload).encode("ascii"), settings.timeout, largest, named, heard)


def served(http: ModuleType, client: Client, settings: Settings, named: str) -> str:
    """What the server has loaded under the model's name: `root` of `GET /models`, a folder or a name of the hub (vLLM, SGLang); else empty.

    `created` says nothing of the weights: most servers put the moment there at which they started, or were asked.
    """
    reply = _exchange(http, client, settings, "GET", "/models", None, min(IDENTIFY_S, settings.timeout), LARGEST_LIST, named)
    if reply.failure or reply.code != 200:
        return ""
    try:
        listed = json.loads(reply.body)["data"]
        found = next((one["root"] for one in listed if one["id"] == settings.model), "")
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    return found.encode("utf-8", "replace").decode() if isinstance(found, str) and found != settings.model else ""


def excerpt(text: str, settings: Settings) -> str:
    """The beginning of what was said, on one line, without the secrets that it may repeat."""
    return " ".join(redact(text[: 2**16], *settings.secrets).split())[:EXCERPT]


def waits(under_way: int, settings: Settings) -> str:
    """What is said at an interrupt, before the requests under way have ended."""
    return (
        f"interrupted: nothing more is sent; waiting at most {settings.timeout:g} s for {under_way}"
        f" request{'s' if under_way != 1 else ''} under way, so that what is paid for is kept"
    )


def _exchange(
    http: ModuleType, client: Client, settings: Settings, method: str, path: str, content: bytes | None, seconds: float, largest: int, named: str,
    heard: Callable[[], None] = lambda: None,
) -> Reply:  # fmt: skip
    deadline = time.monotonic() + seconds
    headers = {} if content is None else {"Content-Type": "application/json"}
    timeout = http.Timeout(seconds, connect=min(CONNECT_S, seconds))
    try:
        with client.stream(method, settings.address + path, content=content, headers=headers, timeout=timeout) as response:
            heard()
            body = bytearray()
            for block in response.iter_bytes():
                body += block
                if time.monotonic() > deadline:
                    return Reply("timeout", f"the response was not whole after {seconds:g} s")
                if len(body) > largest:
                    return Reply("malformed", f"the response is larger than {largest // 2**20} MiB", again=False)
            told = {name.lower(): value for name, value in response.headers.items()}
            return Reply(code=response.status_code, headers=told, body=bytes(body))
    except http.TimeoutException as error:
        unsent = isinstance(error, http.ConnectTimeout | http.PoolTimeout)
        return Reply("timeout", f"no {'connection' if unsent else 'response'} in {seconds:g} s", not unsent)
    except (http.UnsupportedProtocol, http.InvalidURL) as error:
        raise InputError(f"{named} {settings.address!r} is not an http(s) address: {excerpt(str(error), settings)}") from None
    except http.TransportError as error:
        unsent = isinstance(error, http.ConnectError | http.ProxyError)
        return Reply("connection", excerpt(str(error), settings), not unsent)
    except http.DecodingError as error:
        return Reply("malformed", excerpt(str(error), settings))
