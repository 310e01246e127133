"""Tests of --keys-file: forms of keys, URLs, encodings, and lists without end."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from era5dl.errors import UsageError
from era5dl.planner import keys_file, read_keys
from era5dl.planner.keys_file import MAX_LINE
from era5dl.settings import Settings
from tests.command_line import call_main
from tests.faultlab import FaultServer

LOCAL = Settings(endpoint_url="http://127.0.0.1:9000")
GATEWAY = Settings(endpoint_url="https://gateway.example.org/s3/")
AMAZON = "amazonaws.com"


def test_one_key_per_line_with_comments_and_duplicates() -> None:
    text = "# my files\r\nb/2.nc\r\n\r\n  a/1.nc \r\n   # not this\r\nb/2.nc\r\nwith space/é.nc"
    assert read_keys(text) == ["b/2.nc", "a/1.nc", "with space/é.nc"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_supported_encodings(encoding: str, end: str) -> None:
    assert read_keys(end.join(["a/é.nc", "b", ""]).encode(encoding)) == ["a/é.nc", "b"]


def test_byte_order_mark_is_removed() -> None:
    assert read_keys("\ufeffa\nb") == ["a", "b"]


def test_quotes_and_spaces_around_a_key_are_removed() -> None:
    assert read_keys("\"a b.nc\"\n 'c.nc' \n\t' d.nc '\n'e.nc\n\"\n\"#f.nc\"\n") == [
        "a b.nc", "c.nc", "d.nc", "'e.nc", '"', "#f.nc"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "address",
    [
        "s3://nsf-ncar-era5/a/b%20c é.nc",  # never percent-encoded
        f"https://nsf-ncar-era5.s3.us-west-2.{AMAZON}/a/b%2520c%20%C3%A9.nc",
        f"https://nsf-ncar-era5.s3.{AMAZON}/a/b%2520c%20é.nc",
        f"https://nsf-ncar-era5.s3-us-west-2.{AMAZON}/a/b%2520c%20%C3%A9.nc",
        f"https://nsf-ncar-era5.s3.dualstack.us-west-2.{AMAZON}/a/b%2520c%20%C3%A9.nc",
        f"https://s3.us-west-2.{AMAZON}/nsf-ncar-era5/a/b%2520c%20%c3%a9.nc",
        f"HTTPS://S3.{AMAZON.upper()}/nsf-ncar-era5/a/b%2520c%20%C3%A9.nc",
        f"https://s3.{AMAZON}:443/nsf-ncar-era5/a/b%2520c%20%C3%A9.nc",
        f"http://s3.{AMAZON}/nsf-ncar-era5/a/b%2520c%20%C3%A9.nc",
        "http://127.0.0.1:9000/nsf-ncar-era5/a/b%2520c%20%C3%A9.nc",
    ],
)
def test_urls_of_the_default_bucket(address: str) -> None:
    assert read_keys(f"first\n  '{address}'\r\n", LOCAL) == ["first", "a/b%20c é.nc"]


@pytest.mark.parametrize(
    ("address", "settings"),
    [
        ("https://gateway.example.org/s3/nsf-ncar-era5/a+b.nc", GATEWAY),
        ("https://gateway.example.org:443/s3/nsf-ncar-era5/a%2Bb.nc", GATEWAY),
        ("https://nsf-ncar-era5.gateway.example.org/a+b.nc", GATEWAY),
        ("s3://mine/a+b.nc", Settings(bucket="mine")),
        (f"https://mine.s3.eu-central-1.{AMAZON}/a+b.nc", Settings(bucket="mine")),
        (f"https://my.dotted.bucket.s3.eu-central-1.{AMAZON}/a+b.nc", Settings(bucket="my.dotted.bucket")),
    ],
)
def test_urls_of_other_servers_and_buckets(address: str, settings: Settings) -> None:
    assert read_keys(address, settings) == ["a+b.nc"]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("s3://other/a.nc", "other"),
        ("s3://NSF-NCAR-ERA5/a.nc", "NSF-NCAR-ERA5"),
        ("s3:///a.nc", "names no bucket"),
        ("s3://nsf-ncar-era5/", "no object"),
        ("s3://nsf-ncar-era5", "no object"),
        (f"https://other.s3.us-west-2.{AMAZON}/a.nc", "other"),
        (f"https://s3.us-west-2.{AMAZON}/other/nsf-ncar-era5/a.nc", "other"),
        (f"https://s3.us-west-2.{AMAZON}/nsf-ncar-era5/", "no object"),
        (f"https://nsf-ncar-era5.s3.us-west-2.{AMAZON}.evil.org/a.nc", "another server"),
        (f"https://nsf-ncar-era5.s3.us-west-2.{AMAZON}/a.nc?X-Amz-Signature=secret", "more than"),
        (f"https://nsf-ncar-era5.s3.us-west-2.{AMAZON}/a.nc?", "more than"),
        (f"https://nsf-ncar-era5.s3.us-west-2.{AMAZON}/a.nc#part", "more than"),
        (f"https://nsf-ncar-era5.s3.us-west-2.{AMAZON}/a%ff.nc", "percent-encoding"),
        (f"https://user:secret@nsf-ncar-era5.s3.us-west-2.{AMAZON}/a.nc", "not the URL"),
        ("http://127.0.0.1:9001/nsf-ncar-era5/a.nc", "another server"),
        ("http://127.0.0.1:9000/other/a.nc", "other"),
        ("http://127.0.0.1:port/nsf-ncar-era5/a.nc", "not the URL"),
        ("https://[::1/nsf-ncar-era5/a.nc", "not the URL"),
        ("gs://nsf-ncar-era5/a.nc", "not the URL"),
        ("file:///etc/passwd", "not the URL"),
    ],
)
def test_invalid_url_is_refused_with_its_line_number(address: str, message: str) -> None:
    with pytest.raises(UsageError, match="Line 3 ") as caught:
        read_keys(f"# list\nfirst\n{address}\nlast\n", LOCAL)
    assert message in str(caught.value)
    assert caught.value.remedy
    assert "secret" not in str(caught.value) + caught.value.remedy


def test_input_that_is_not_text_is_refused() -> None:
    with pytest.raises(UsageError, match=r"not utf-8 text: line 2"):
        read_keys(b"a\n\xff\xfe")
    with pytest.raises(UsageError, match="not utf-16"):
        read_keys(b"\xff\xfea")
    with pytest.raises(UsageError, match=r"Line 2 .* null character"):
        read_keys(b"a\nb\0\n")


# --- endless input


def test_too_long_line_is_refused() -> None:
    assert read_keys("k" * (MAX_LINE - 1)) == ["k" * (MAX_LINE - 1)]
    for text in ("a\n" + "k" * MAX_LINE, "a\n" + "k" * 10_000_000, "a\n# " + "é" * MAX_LINE):
        for encoding in ("utf-8", "utf-16"):
            with pytest.raises(UsageError, match=r"Line 2 .*8,192"):
                read_keys(text.encode(encoding))


def test_too_many_lines_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_file, "MAX_OBJECTS", 1000)
    assert len(read_keys("\n".join(map(str, range(1000))))) == 1000
    with pytest.raises(UsageError, match="1,000 lines"):
        read_keys("\n".join(map(str, range(1001))))
    with pytest.raises(UsageError, match="1,000 lines"):
        read_keys("\n" * 1001)
    monkeypatch.setattr(keys_file, "MAX_TEXT", 1 << 20)
    with pytest.raises(UsageError, match="1 MiB"):
        read_keys(("# " + "x" * 5000 + "\n") * 300)


PROGRAM = """
from era5dl.__main__ import main
from era5dl.planner import keys_file
keys_file.MAX_OBJECTS = 20_000
raise SystemExit(main())
"""


def era5dl(*words: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run `era5dl plan` with little memory, in which endless input does not fit, and fewer lines than usual."""

    def little_memory() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))

    return subprocess.run(
        [sys.executable, "-c", PROGRAM, "plan", *map(str, words)],
        capture_output=True, text=True, encoding="utf-8", timeout=60, preexec_fn=little_memory, **options,
    )  # type: ignore[call-overload, no-any-return]  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="devices of Linux")
@pytest.mark.parametrize("path", ["/dev/full", "/dev/zero"])
@pytest.mark.parametrize("through", ["name", "standard input"])
def test_endless_device_is_refused(path: str, through: str) -> None:
    if through == "name":
        done = era5dl("--keys-file", path)
    else:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            done = era5dl("--keys-file", "-", stdin=descriptor)
        finally:
            os.close(descriptor)
    assert done.returncode == 2, done.stderr
    assert "Line 1 of the list of keys is longer than 8,192 bytes." in done.stderr


def test_folder_instead_of_a_file_is_an_error(tmp_path: Path) -> None:
    done = call_main(["plan", "--keys-file", tmp_path], os.environ)
    assert done.returncode == 2, done.stderr
    assert "cannot be read" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="pipes with a name")
@pytest.mark.parametrize("line", [b"a/b.nc\n", b"# nothing but words\n", b"no end of line "])
def test_endless_pipe_is_refused(tmp_path: Path, line: bytes) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def write() -> None:
        with contextlib.suppress(BrokenPipeError), pipe.open("wb") as file:
            while True:
                file.write(line * 10_000)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    done = era5dl("--keys-file", pipe)
    assert done.returncode == 2, done.stderr
    assert "Line 1 " in done.stderr or "20,000 lines" in done.stderr
    writer.join(20)
    assert not writer.is_alive()


# --- messages of the command


def test_folder_keys_are_reported_and_not_counted(fault_server: FaultServer, tmp_path: Path) -> None:
    fault_server.put("a/1.nc", b"1")
    keys = tmp_path / "keys"
    url = f"{fault_server.endpoint_url}/{fault_server.bucket}/a/1.nc"
    keys.write_text(f"a/\n{url}\ns3://nsf-ncar-era5/b/\n", encoding="utf-8")
    words = ("--json", "--quiet", "--endpoint-url", fault_server.endpoint_url)
    done = call_main(["download", "--keys-file", keys, "--out", tmp_path / "out", *words], os.environ)
    assert done.returncode == 0, done.stderr
    assert "ignored: 2 keys that name a folder and no file (a/, b/)" in done.stderr.splitlines()
    records = {record["event"]: record for record in map(json.loads, done.stdout.splitlines())}
    assert (records["plan"]["files"], records["plan"]["passed_over"], records["summary"]["files"]) == (1, 2, 1)


def test_list_of_folders_only_is_an_error(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("a/\n", encoding="utf-8")
    done = call_main(["plan", "--keys-file", keys], os.environ)
    assert done.returncode == 2
    assert "There is no key to fetch, only 1 key that names a folder and no file (a/)." in done.stderr
