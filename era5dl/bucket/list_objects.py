"""A page of a listing, from its XML straight to objects.

botocore makes a tree of a page, makes another to see that it is no error, and then a dict of every entry: three times
the time, and 1.2 MB a page where sixteen folders are listed at once. So `s3` has its pages read here. Where botocore
asks for one itself, after a redirect, it is read before botocore comes to it, through a seam that is public: what a
handler of its event `before-parse` has found goes into the answer.
"""

from __future__ import annotations

import re
import threading
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus
from xml.parsers import expat

from era5dl.bucket.interface import ObjectInfo
from era5dl.bucket.responses import described
from era5dl.errors import BadResponse

EVENT = "before-parse.*.ListObjectsV2"  # the star puts our handler before botocore's own for `before-parse.s3.*`
_one_at_a_time = threading.Lock()  # while sixteen threads read pages a window gets its turn every 50 to 80 ms
_GULP = 16 << 10  # bytes; given all at once, the parser takes twice as many
_PAGE = frozenset({"Name", "IsTruncated", "NextContinuationToken", "EncodingType"})
_ENTRY = frozenset({"Key", "Size", "ETag", "LastModified"})
_USUAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z", re.ASCII)


def before_parse(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """Handler of EVENT. An answer that is no page is left to botocore, which makes an error of it."""
    page = page_of(response_dict["status_code"], response_dict["body"])
    if page is not None:
        customized_response_dict.update(page)
        response_dict["body"] = b""


def page_of(status: int, data: bytes) -> dict[str, Any] | None:
    """`read_page` of an answer with this status, one answer at a time; None where it is no page."""
    with _one_at_a_time:
        return read_page(data) if status == 200 else None


def read_page(data: bytes) -> dict[str, Any] | None:
    """What a page says of itself, under S3's names, and `Contents`: its objects. None where it is no page, or is torn.

    Raises BadResponse, ValueError or LookupError where it is one that S3 does not write.
    """
    reader = _Reader()
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler = reader.text.append
    try:
        for at in range(0, len(data), _GULP):
            parser.Parse(data[at : at + _GULP], False)
        parser.Parse(b"", True)
    except expat.ExpatError:
        return None
    if reader.root != "ListBucketResult":
        return None
    page: dict[str, Any] = reader.page
    coded = page.pop("EncodingType", "") == "url"  # it may stand behind what it is about
    if "IsTruncated" in page:
        page["IsTruncated"] = {"true": True, "false": False}[page["IsTruncated"]]
    page["Contents"] = entries = reader.entries
    for place, entry in enumerate(entries):  # each in its own place, so that they are never all there twice
        entries[place] = _object(entry, coded=coded)
    return page


class _Reader:
    """What the parser has come by."""

    def __init__(self) -> None:
        self.root = ""
        self.page: dict[str, str] = {}
        self.entries: list[Any] = []
        self.text: list[str] = []  # of the element that began last
        self._depth = 0
        self._within: dict[str, str] = {}  # the fields of what the parser is in, on the second level

    def start(self, name: str, _: object) -> None:
        self._depth += 1
        self.text.clear()
        if self._depth == 1:
            self.root = _bare(name)
        elif self._depth == 2:
            self._within = {}
            if _bare(name) == "Contents":
                self.entries.append(self._within)

    def end(self, name: str) -> None:
        if self._depth == 2:
            self._note(self.page, _PAGE, _bare(name))
        elif self._depth == 3:
            self._note(self._within, _ENTRY, _bare(name))
        self._depth -= 1

    def _note(self, fields: dict[str, str], wanted: frozenset[str], name: str) -> None:
        if name in fields:
            raise BadResponse(f"the answer says {name} twice")
        if name in wanted:
            fields[name] = "".join(self.text)


def _bare(name: str) -> str:
    """The name without its namespace's prefix."""
    return name.rpartition(":")[2]


def _object(entry: dict[str, str], *, coded: bool) -> ObjectInfo:
    key = unquote_plus(entry["Key"]) if coded else entry["Key"]
    modified = instant(entry["LastModified"]) if "LastModified" in entry else None
    return described(key, int(entry["Size"]), entry.get("ETag", ""), modified)


def instant(said: str) -> datetime:
    """The instant that an entry gives, mostly as "2020-01-31T12:00:00.000Z": reading a thousand of them in botocore's
    way, that takes any format there is, costs more than all the rest of the page. Raises ValueError."""
    if _USUAL.fullmatch(said):
        return datetime.fromisoformat(said[:19] + "+00:00")
    from botocore.utils import parse_timestamp  # it brings another library, to know every calendar there is

    parsed: datetime = parse_timestamp(said)
    return parsed
