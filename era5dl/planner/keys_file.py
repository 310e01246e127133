"""Parses the text of a --keys-file: one object a line, by its key or by its URL.

The text may come from anywhere, also from a device or a pipe that never ends: so it is read line by line, and no more
of it than a plan may have objects.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from itertools import count
from urllib.parse import SplitResult, unquote, urlsplit

from era5dl.bucket.interface import MOST_OBJECTS
from era5dl.errors import UsageError
from era5dl.settings import Settings

LONGEST_LINE = 8192  # characters: an address of the longest key, every byte of it escaped, has half of that
MOST_BYTES = 256 << 20
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_AMAZON = re.compile(r"(?:(?P<bucket>.+)\.)?s3([.-](dualstack\.)?[a-z]{2}(-[a-z]+)+-\d+)?\.amazonaws\.com")
_PORTS = {"http": 80, "https": 443}


def read_keys(source: str | bytes | io.BufferedReader, settings: Settings | None = None) -> list[str]:
    """The keys in the text of a --keys-file, each once, in their order. Raises UsageError, and OSError of a file.

    One key a line; or its address, s3://BUCKET/KEY or the URL that a browser takes, percent-encoded. Blank lines and
    lines that begin with # are skipped, and so are quotes and spaces around a key, Windows line ends and a byte order
    mark; UTF-16, which PowerShell writes, is understood too.

    settings: bucket and endpoint of these are what an address has to name.
    """
    where = settings or Settings()
    keys: dict[str, None] = {}
    for number, line in _lines(_opened(source)):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if len(text) > 2 and text[0] in "\"'" and text[-1] == text[0]:
            text = text[1:-1].strip()
        if "\0" in text:
            raise _wrong(number, "is no text", "Save the list as UTF-8.")
        keys[_key_at(text, number, where) if _SCHEME.match(text) else text] = None
    return list(keys)


def _opened(source: str | bytes | io.BufferedReader) -> io.BufferedReader:
    if isinstance(source, str):
        source = source.encode("utf-8", "surrogatepass")
    return io.BufferedReader(io.BytesIO(source)) if isinstance(source, bytes) else source


def _lines(file: io.BufferedReader) -> Iterator[tuple[int, str]]:
    """The lines with their numbers, from 1; never more than a plan can take."""
    wide = file.peek(2)[:2] in _UTF_16
    text = io.TextIOWrapper(file, "utf-16", newline="\n") if wide else None
    taken = 0
    try:
        for number in count(1):
            line = text.readline(LONGEST_LINE) if text is not None else file.readline(LONGEST_LINE).decode("utf-8")
            if not line:
                return
            if len(line) == LONGEST_LINE and not line.endswith("\n"):
                raise _wrong(number, f"is longer than {LONGEST_LINE:,} bytes", "Write one object key a line.")
            taken += len(line)
            if number > MOST_OBJECTS or taken > MOST_BYTES:
                raise UsageError(
                    f"The list of keys has more than {MOST_OBJECTS:,} lines or {MOST_BYTES >> 20} MiB.",
                    remedy="Divide it into several lists.",
                )
            yield number, line.removeprefix("\ufeff") if number == 1 else line
    except UnicodeError as error:
        encoding = "utf-16" if wide else "utf-8"
        raise UsageError(
            f"The list of keys is not {encoding} text: line {number}: {error}.", remedy="Save it as UTF-8."
        ) from error
    finally:
        if text is not None:
            text.detach()  # whoever opened the file closes it


def _key_at(text: str, number: int, where: Settings) -> str:
    """The key of the object with this address. Raises UsageError where that is none of the bucket's."""
    if text[:5].lower() == "s3://":
        bucket, _, key = text[5:].partition("/")  # nothing is escaped in these
    else:
        bucket, key = _bucket_and_key(text, number, where)
    if bucket != where.bucket:
        if not bucket:
            raise _wrong(number, "names no bucket", f"Write s3://{where.bucket}/ and the object's key.")
        whose = f"is of the bucket “{bucket[:100]}”, not of {where.bucket}"
        raise _wrong(number, whose, "Name that bucket with --bucket, or take the line out.")
    if not key:
        raise _wrong(number, "names a bucket and no object", "Add the object's key.")
    return key


def _bucket_and_key(url: str, number: int, where: Settings) -> tuple[str, str]:
    """What a web address of S3 names: the bucket in the host's name or at the head of the path."""
    try:
        parts = urlsplit(url)
        host = _host(parts)
    except ValueError:  # a port that is no number, an unclosed [
        host, parts = "", urlsplit("")
    if not host or "@" in parts.netloc or parts.scheme not in _PORTS:
        raise _wrong(number, "is no address of an object", "Write its key alone: what follows the bucket's name.")
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        raise _wrong(
            number,
            "is a URL with more than the object's key (after “?” or “#”)",
            "This bucket needs no signature: write the URL without it, or the key alone.",
        )
    try:
        path = unquote(parts.path, errors="strict").removeprefix("/")
    except UnicodeDecodeError:
        raise _wrong(number, "is a URL whose escapes are no UTF-8", "Write the object's key alone.") from None
    head, _, rest = path.partition("/")
    amazon = _AMAZON.fullmatch(parts.hostname or "")
    if amazon is not None:
        return (amazon["bucket"], path) if amazon["bucket"] else (head, rest)
    if where.endpoint_url:
        server = urlsplit(where.endpoint_url)
        if host == _host(server):
            head, _, rest = path.removeprefix(server.path.strip("/")).lstrip("/").partition("/")
            return head, rest
        if host == f"{where.bucket}.{_host(server)}":
            return where.bucket, path
    raise _wrong(number, f"is of another server, {host[:100]}", "Name that server with --endpoint-url.")


def _host(parts: SplitResult) -> str:
    """Host and port, the port also where it is the usual one. Raises ValueError."""
    return f"{parts.hostname or ''}:{parts.port or _PORTS.get(parts.scheme, 0)}" if parts.hostname else ""


def _wrong(number: int, what: str, remedy: str) -> UsageError:
    return UsageError(f"Line {number} of the list of keys {what}.", remedy=remedy)
