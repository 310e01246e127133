"""Redaction of the free texts in a support report: removes all words that are not in a vocabulary. No Tk.

The vocabulary consists of the words of this program and of system errors. Numbers, times and ERA5 names are kept, too.
A list of words to remove would not work: the names of people, computers and folders in a text are not known in advance.
"""

from __future__ import annotations

import errno
import os
import pkgutil
import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.abc import InspectLoader
from types import CodeType

import era5dl
from era5dl.catalog import products, variables
from era5dl.gui.text import i18n

REDACTED = "<...>"

_WORD = re.compile(r"[^\W_](?:[\w.'’+%-]*[^\W_])?")
_NUMBER = re.compile(r"\d[\d.,]*(?:[kMGTP]?i?B|s|ms|min|h|d|x|Z|st|nd|rd|th)?")
_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:T\d\d)?|\d\d(?:\.\d+)?Z?")
_ERA5 = re.compile(r"e5\.[\w.-]+|ERA5")
_ERROR = re.compile(r"[A-Z][A-Za-z]{2,40}(?:Error|Exception|Warning|Timeout)")
_MODULE = re.compile(r"(?:urllib3|botocore|boto3|ssl|socket|http|era5dl)(?:\.[a-z_0-9]+)*(?:\.py)?")
_LIBRARIES = """
    certificate verify failed unable to get local issuer self-signed self signed in chain has expired hostname mismatch
    not valid for wrong version number unexpected EOF while reading occurred in violation of protocol handshake TLS SSL
    TLSv1 TLSv1.2 TLSv1.3 alert internal unknown CA bad record mac decryption failed
    name or service not known temporary failure in name resolution nodename nor servname provided getaddrinfo failed
    connection pool is full discarding pool size max retries exceeded with url caused by failed to establish a new
    connection remote end closed without response read timed out connect timeout proxy tunnel cannot connect to
    certificates signature sha256 RSA ECDSA root authority Amazon DigiCert Starfield Encrypt Fortinet Zscaler Netskope
    traceback most recent call last file line in during handling of the above exception another occurred Errno
"""


def redact_unknown_words(text: str, also: Iterable[str] = ()) -> str:
    """Replace each word that is not in the vocabulary, and not a number, a time or an ERA5 name.

    also: further words to keep.
    """
    allowed = {word.casefold() for word in also}
    return _WORD.sub(lambda found: found[0] if _is_known(found[0], allowed) else REDACTED, text)


def _is_known(word: str, allowed: set[str]) -> bool:
    if word.casefold() in allowed or word.casefold() in vocabulary():
        return True
    return any(pattern.fullmatch(word) for pattern in (_NUMBER, _TIME, _ERA5, _ERROR, _MODULE))


@cache
def vocabulary() -> frozenset[str]:
    """Return all words that this program can print, in lower case. The first call takes half a second."""
    texts: list[str] = [_LIBRARIES, *(os.strerror(number) for number in errno.errorcode)]
    for module in pkgutil.walk_packages(era5dl.__path__, "era5dl."):
        spec = module.module_finder.find_spec(module.name, None)
        loader = spec.loader if spec is not None else None
        code = loader.get_code(module.name) if isinstance(loader, InspectLoader) else None
        if code is not None:
            texts += _texts_of(code)
    texts += i18n.all_translations()
    texts += [text for one in variables() for text in (one.short, one.code, one.nc_var, one.product.name)]
    texts += [name for one in products() for name in (one.name, one.prefix)]
    return frozenset(word.casefold() for text in texts for word in _WORD.findall(text))


def _texts_of(code: CodeType) -> Iterator[str]:
    """Return the strings and names in compiled code."""
    yield from code.co_names
    yield from code.co_varnames
    waiting = list(code.co_consts)
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, CodeType):
            yield from _texts_of(one)
        elif isinstance(one, (tuple, frozenset)):
            waiting += one
