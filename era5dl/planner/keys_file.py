"""Parses a --keys-file: one object per line, by its key or by its URL.

The file may be a device or a pipe that never ends. So it is read line by line, and at most as many
lines as a plan may have objects.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from itertools import count
from urllib.parse import SplitResult, unquote, urlsplit

from era5dl.bucket.interface import MAX_OBJECTS
from era5dl.errors import UsageError
from era5dl.settings import Settings

MAX_LINE = 8192  # bytes (UTF-16: characters); the URL of the longest key, all percent-encoded, has half as many
MAX_TEXT = 256 << 20  # characters
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_AMAZON = re.compile(r"(?:(?P<bucket>.+)\.)?s3([.-](dualstack\.)?[a-z]{2}(-[a-z]+)+-\d+)?\.amazonaws\.com")
_PORTS = {"http": 80, "https": 443}


def read_keys(source: str | bytes | io.BufferedReader, settings: Settings | None = None) -> list[str]:
    """Return the keys in the text of a --keys-file, each once, in their order.

    Each line has a key or a URL: s3://BUCKET/KEY, or a percent-encoded http(s) URL as in a browser. Blank lines and
    lines that start with # are skipped; quotes and spaces around a key, Windows line ends and a byte order mark are
    removed. The text is UTF-8, or UTF-16 with a byte order mark, as PowerShell writes it.

    settings: the bucket and the endpoint that URLs must belong to. Raises UsageError for a line that is not valid,
    OSError if the file cannot be read.
    """
    expected = settings or Settings()
    keys: dict[str, None] = {}
    for number, line in _lines(_as_reader(source)):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if len(text) > 2 and text[0] in "\"'" and text[-1] == text[0]:
            text = text[1:-1].strip()
        if "\0" in text:
            raise _line_error(number, "contains a null character", "Save the list as UTF-8 text.")
        keys[_key_of_url(text, number, expected) if _SCHEME.match(text) else text] = None
    return list(keys)


def _as_reader(source: str | bytes | io.BufferedReader) -> io.BufferedReader:
    if isinstance(source, str):
        source = source.encode("utf-8", "surrogatepass")
    return io.BufferedReader(io.BytesIO(source)) if isinstance(source, bytes) else source


def _lines(file: io.BufferedReader) -> Iterator[tuple[int, str]]:
    """Yield the lines with their numbers, from 1. Raises UsageError if there are more lines than a plan may have
    objects."""
    is_utf16 = file.peek(2)[:2] in _UTF_16
    text = io.TextIOWrapper(file, "utf-16", newline="\n") if is_utf16 else None
    total = 0
    try:
        for number in count(1):
            read = text.readline(MAX_LINE) if text is not None else file.readline(MAX_LINE)
            if not read:
                return
            if len(read) == MAX_LINE and read[-1:] not in ("\n", b"\n"):
                raise _line_error(number, f"is longer than {MAX_LINE:,} bytes", "Write one object key per line.")
            line = read.decode("utf-8") if isinstance(read, bytes) else read
            total += len(line)
            if number > MAX_OBJECTS or total > MAX_TEXT:
                raise UsageError(
                    f"The list of keys has more than {MAX_OBJECTS:,} lines or {MAX_TEXT >> 20} MiB.",
                    remedy="Divide it into several lists.",
                )
            yield number, line.removeprefix("\ufeff") if number == 1 else line
    except UnicodeError as error:
        encoding = "utf-16" if is_utf16 else "utf-8"
        raise UsageError(
            f"The list of keys is not {encoding} text: line {number}: {error}.", remedy="Save it as UTF-8."
        ) from error
    finally:
        if text is not None:
            text.detach()  # the caller closes the file


def _key_of_url(url: str, number: int, expected: Settings) -> str:
    """Return the key of the object with this URL. Raises UsageError unless it is an object of the bucket."""
    if url[:5].lower() == "s3://":
        bucket, _, key = url[5:].partition("/")  # never percent-encoded
    else:
        bucket, key = _bucket_and_key(url, number, expected)
    if bucket != expected.bucket:
        if not bucket:
            raise _line_error(number, "names no bucket", f"Write s3://{expected.bucket}/ and the object's key.")
        problem = f"names the bucket “{bucket[:100]}”; this download uses {expected.bucket}"
        raise _line_error(number, problem, "Specify that bucket with --bucket, or remove the line.")
    if not key:
        raise _line_error(number, "names a bucket and no object", "Add the object's key.")
    return key


def _bucket_and_key(url: str, number: int, expected: Settings) -> tuple[str, str]:
    """Return the bucket and the key of an http(s) URL. The bucket may be in the host name or in the path."""
    try:
        parts = urlsplit(url)
        host = _host(parts)
    except ValueError:  # an invalid port, an unclosed [
        host, parts = "", urlsplit("")
    if not host or "@" in parts.netloc or parts.scheme not in _PORTS:
        raise _line_error(number, "is not the URL of an object", "Write only its key: what follows the bucket's name.")
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        raise _line_error(
            number,
            "is a URL with more than the object's key (after “?” or “#”)",
            "This bucket needs no signature: write the URL without it, or only the key.",
        )
    try:
        path = unquote(parts.path, errors="strict").removeprefix("/")
    except UnicodeDecodeError:
        raise _line_error(number, "is a URL with invalid percent-encoding", "Write only the object's key.") from None
    head, _, rest = path.partition("/")
    amazon = _AMAZON.fullmatch(parts.hostname or "")
    if amazon is not None:
        return (amazon["bucket"], path) if amazon["bucket"] else (head, rest)
    if expected.endpoint_url:
        server = urlsplit(expected.endpoint_url)
        if host == _host(server):
            head, _, rest = path.removeprefix(server.path.strip("/")).lstrip("/").partition("/")
            return head, rest
        if host == f"{expected.bucket}.{_host(server)}":
            return expected.bucket, path
    raise _line_error(number, f"names another server, {host[:100]}", "Specify that server with --endpoint-url.")


def _host(parts: SplitResult) -> str:
    """Return HOST:PORT, also for the default port; "" if there is no host. Raises ValueError."""
    return f"{parts.hostname or ''}:{parts.port or _PORTS.get(parts.scheme, 0)}" if parts.hostname else ""


def _line_error(number: int, problem: str, remedy: str) -> UsageError:
    return UsageError(f"Line {number} of the list of keys {problem}.", remedy=remedy)
