"""A .po catalogue read, and compiled to the .mo that Python's gettext takes.

One compiler for a checkout and for the wheel's build, so that they cannot show different texts, and a build that needs
nothing but hatchling. It reads what our .po files hold: entries apart by blank lines, contexts, plurals, texts over
several lines. As in GNU msgfmt, what is fuzzy or untranslated is left out, so that the English text stands.

The format of .mo files: GNU gettext manual, "The Format of GNU MO Files". This module imports nothing of ours: the
build runs it as a plain file.
"""

from __future__ import annotations

import re
import struct

_LINE = re.compile(r'(?:(msgctxt|msgid|msgid_plural|msgstr(?:\[[0-9]\])?)[ \t]+)?"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}
_MAGIC = 0x950412DE


def compiled(text: str) -> bytes:
    """The .mo with the finished translations of this .po. Raises ValueError where the text is no .po."""
    entries = sorted((key.encode(), said.encode()) for key, said in read(text).items())
    tables_end = 28 + 16 * len(entries)
    table, body = b"", b""
    for column in (0, 1):
        for entry in entries:
            table += struct.pack("<2I", len(entry[column]), tables_end + len(body))
            body += entry[column] + b"\0"
    head = struct.pack("<7I", _MAGIC, 0, len(entries), 28, 28 + 8 * len(entries), 0, 0)
    return head + table + body


def read(text: str) -> dict[str, str]:
    """The finished translations, keys and values as a .mo spells them: context, EOT, singular, NUL, plural."""
    found: dict[str, str] = {}
    for block in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n")):
        fields = {} if re.search(r"^#,.*\bfuzzy\b", block, re.MULTILINE) else _fields(block)
        said = [fields[name] for name in sorted(fields) if name.startswith("msgstr")]
        if not fields or not all(said):
            continue
        key = fields["msgid"]
        if "msgctxt" in fields:
            key = f"{fields['msgctxt']}\4{key}"
        if "msgid_plural" in fields:
            key = f"{key}\0{fields['msgid_plural']}"
        if key in found:
            raise ValueError(f"twice in the catalogue: {fields['msgid']!r}")
        found[key] = "\0".join(said)
    return found


def _fields(block: str) -> dict[str, str]:
    """One entry by its keywords; empty for a block of comments."""
    fields: dict[str, str] = {}
    name = ""
    for line in block.split("\n"):
        if not line.strip() or line.startswith("#"):
            continue
        part = _LINE.fullmatch(line.strip())
        if part is None or not (part[1] or name) or part[1] in fields:
            raise ValueError(f"not a line of a catalogue: {line!r}")
        name = part[1] or name
        fields[name] = fields.get(name, "") + _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[1]), part[2])
    if fields and not ("msgid" in fields and name.startswith("msgstr")):
        raise ValueError(f"not an entry of a catalogue: {block!r}")
    return fields
