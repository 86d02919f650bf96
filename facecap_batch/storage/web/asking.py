"""What a web server is asked, and what it answers.

In: an address (``http://``, ``https://``), a place in its file. Out: the answer from there on, or `OSError`
with a number; what it says of the file. Python's standard library does the asking: certificates are verified,
proxies of the environment used, redirects followed to web servers alone.
"""

from __future__ import annotations

import email.message
import errno
import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

SCHEMES = frozenset({"http", "https"})
TIMEOUT_S = 60.0  # for a server to answer, and between two pieces of an answer
_TEXT = "%/:?#[]@!$&'()*+,;=~-._"  # of addresses, RFC 3986: stays as it is
_RANGE = re.compile(r"bytes (?:\d+-\d+|\*)/(\d+)")  # Content-Range, RFC 9110
_PERMANENT = {404: errno.ENOENT, 410: errno.ENOENT, 401: errno.EACCES, 403: errno.EACCES, 407: errno.EACCES}
VERSION_FIELDS = ("ETag", "Content-MD5", "Last-Modified")
_MAY_PASS = (408, 425, 429)  # of answers below 500: the next one may be another


def describe(address: str, timeout_s: float = TIMEOUT_S) -> Mapping[str, Any]:
    """What the server says of the file at `address`.

    Returns:
        As fsspec gives it: ``type``, ``size`` (bytes; None: not said), those of `VERSION_FIELDS` that are
        reported; and ``ranges``: whether it can be read from any place on.

    Raises:
        OSError: It is not there, or nobody answers.
    """
    with ask(address, 0, timeout_s, only_first_byte=True) as answer:
        return description(answer)


def ask(
    address: str, offset: int, timeout_s: float = TIMEOUT_S, only_first_byte: bool = False
) -> http.client.HTTPResponse:
    """The server's answer from `offset` on. Raises OSError with a number."""
    plain, opener = _opener(address)
    span = f"bytes={offset}-{offset if only_first_byte else ''}"
    fields = {"Range": span, "Accept-Encoding": "identity", "User-Agent": "facecap-batch"}
    try:
        answer: http.client.HTTPResponse = opener.open(
            urllib.request.Request(plain, headers=fields), timeout=timeout_s
        )
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and _size(error.headers) == 0:
            raise OSError(errno.ENODATA, "the file is empty") from error
        number = _PERMANENT.get(error.code, errno.EIO)
        if number == errno.EIO and error.code < 500 and error.code not in _MAY_PASS:
            number = errno.EINVAL
        raise OSError(number, f"the web server answers {error.code} {error.reason}", address) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, OSError):
            raise error.reason from error
        raise OSError(errno.EINVAL, str(error.reason), address) from error
    except (http.client.InvalidURL, ValueError) as error:
        raise OSError(errno.EINVAL, f"is no address: {error}", address) from error
    if offset and answer.status != 206:
        answer.close()
        raise OSError(errno.ESPIPE, "it broke off, and the web server gives no ranges to go on", address)
    return answer


def _opener(address: str) -> tuple[str, urllib.request.OpenerDirector]:
    """The address without name and password, and who asks for it with them."""
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    plain = quote(parts._replace(netloc=host).geturl(), safe=_TEXT)
    opener = urllib.request.OpenerDirector()
    handlers: list[urllib.request.BaseHandler] = [
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ]
    if parts.username:
        passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        passwords.add_password(None, plain, unquote(parts.username), unquote(parts.password or ""))
        handlers += [
            urllib.request.HTTPBasicAuthHandler(passwords),
            urllib.request.HTTPDigestAuthHandler(passwords),
        ]
    for handler in handlers:
        opener.add_handler(handler)
    return plain, opener


def description(answer: http.client.HTTPResponse) -> dict[str, Any]:
    """What the head of an answer says of the file, as `describe` gives it."""
    versions = {name: answer.headers[name] for name in VERSION_FIELDS if answer.headers[name]}
    return {"type": "file", "size": _size(answer.headers), "ranges": answer.status == 206, **versions}


def _size(fields: email.message.Message) -> int | None:
    """Bytes of the whole file, None where the head of an answer does not say so."""
    span = fields.get("Content-Range")
    whole = _RANGE.fullmatch(span or "")
    text = (whole[1] if whole else "") if span else fields.get("Content-Length") or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
