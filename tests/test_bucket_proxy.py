"""Tests of proxies: which one is used, what arrives through it, and how its failures are reported."""

from __future__ import annotations

import socket
import ssl
import threading
import time
import traceback
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from era5dl import errors
from era5dl.bucket.cancellation import Abort
from era5dl.bucket.connect import Connector
from era5dl.bucket.interface import ObjectInfo
from era5dl.bucket.proxy import is_bypassed, parse_proxy, proxy_for
from era5dl.bucket.s3 import S3Bucket
from era5dl.bucket.tls_trust import TrustStore
from era5dl.settings import Settings
from tests.faultlab import Certificates, Fault, FaultServer, etag_of, make_certificates, pseudo_random
from tests.runs import read_some, settings_for
from tests.servers.proxies import Http, Socks

KEY = "a.nc"
DATA = pseudo_random("proxies", 300_000)
OBJ = ObjectInfo(KEY, len(DATA), etag_of(DATA))
NAME = "s3.faultlab.test"  # a host name that only the proxy can resolve
SECRET = "zQ9vuLt7"
SOON = 10.0  # seconds; all timeouts are a minute

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def nobody_says_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, *(name.lower() for name in VARIABLES), "ERA5DL_PROXY"):
        monkeypatch.delenv(name, raising=False)


# -- selection of the proxy ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "url", "user", "password"),
    [
        ("http://127.0.0.1:3128", "http://127.0.0.1:3128", "", ""),
        ("proxy.example.org:3128", "http://proxy.example.org:3128", "", ""),
        ("HTTPS://Proxy.Example.org", "https://proxy.example.org:443", "", ""),
        ("socks5h://127.0.0.1:7890/", "socks5h://127.0.0.1:7890", "", ""),
        ("socks5://[::1]", "socks5://[::1]:1080", "", ""),
        ("socks4a://h:1", "socks4a://h:1", "", ""),
        ("socks://127.0.0.1:7890", "socks5h://127.0.0.1:7890", "", ""),
        ("http://user:p%40ss%C3%A4@h:1", "http://h:1", "user", "p@ssä"),
        ("http://user:p@ss@h:1", "http://h:1", "user", "p@ss"),
        ("user:pass@h:1", "http://h:1", "user", "pass"),
        ("http://user@h:1", "http://h:1", "user", ""),
    ],
)
def test_valid_proxy_urls_are_parsed(text: str, url: str, user: str, password: str) -> None:
    proxy = parse_proxy(text, "HTTPS_PROXY")
    assert (proxy.url, proxy.user, proxy.password) == (url, user, password)
    assert str(proxy) == f"{url} (from HTTPS_PROXY)"
    assert not password or password not in repr(proxy) + str(proxy)


BAD = [
    "quic://user:{0}@h:1",
    "http:/user:{0}@h:1",
    "http:user:{0}@h:1",
    "http//user:{0}@h:1",
    "http://user:{0}/x@h:1",
    "http://user:{0}#x@h:1",
    "http://user:{0}?@h:1",
    "http://user:{0}@h:port",
    "http://user:{0}@h:0",
    "http://user:{0}@h:99999",
    "http://user:{0}@h:",
    "http://user:{0}@",
    "http://user:{0}@h/path",
    "http://user:{0} @h:1",
    "http://user:{0}\n@h:1",
    "http://user:{0}@[::1",
    "user:{0}@h:x",
    "http://user:{0}",
    "{0}://user:pass@h:1#",
    "http://",
]


@pytest.mark.parametrize("text", BAD)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "all_proxy", "ERA5DL_PROXY", ""])
def test_a_mistyped_proxy_is_reported_without_its_password(
    monkeypatch: pytest.MonkeyPatch, text: str, variable: str
) -> None:
    text = text.format(SECRET)
    with pytest.raises(errors.UsageError) as refused:
        if variable == "ERA5DL_PROXY":
            Settings.from_environment({variable: text})
        elif variable:
            monkeypatch.setenv(variable, text)
            S3Bucket(Settings())
        else:
            Settings(proxy=text)
    said = f"{refused.value} {refused.value.remedy}"
    assert (variable or "the settings") in said
    assert "socks5h" in said
    if not text.startswith(SECRET):  # as a scheme it cannot be recognized as a password
        assert SECRET not in said + "".join(traceback.format_exception(refused.value))


def test_an_unknown_scheme_is_reported() -> None:
    with pytest.raises(errors.UsageError, match="'quic' is unknown") as refused:
        parse_proxy("quic://h:1", "HTTPS_PROXY")
    assert all(known in refused.value.remedy for known in ("http", "https", "socks5", "socks5h"))


def test_a_password_too_long_for_socks_is_refused() -> None:
    with pytest.raises(errors.UsageError, match="too long"):
        parse_proxy(f"socks5h://user:{'x' * 128}@h:1", "HTTPS_PROXY")
    assert parse_proxy(f"http://user:{'x' * 128}@h:1", "HTTPS_PROXY").password


@pytest.mark.parametrize(
    ("environ", "url", "expected"),
    [
        ({}, "https://b.org/", None),
        ({"HTTPS_PROXY": "h:1"}, "https://b.org/", "http://h:1 (from HTTPS_PROXY)"),
        ({"HTTPS_PROXY": "h:1"}, "http://b.org/", None),
        ({"HTTP_PROXY": "h:1"}, "http://b.org/", "http://h:1 (from HTTP_PROXY)"),
        ({"ALL_PROXY": "socks5h://h:1"}, "https://b.org/", "socks5h://h:1 (from ALL_PROXY)"),
        ({"all_proxy": "socks5h://h:1"}, "http://b.org/", "socks5h://h:1 (from all_proxy)"),
        ({"ALL_PROXY": "a:1", "HTTPS_PROXY": "h:1"}, "https://b.org/", "http://h:1 (from HTTPS_PROXY)"),
        ({"ALL_PROXY": "a:1", "HTTPS_PROXY": "h:1"}, "http://b.org/", "http://a:1 (from ALL_PROXY)"),
        ({"https_proxy": "l:1", "HTTPS_PROXY": "u:1"}, "https://b.org/", "http://l:1 (from https_proxy)"),
        ({"HTTPS_PROXY": " ", "ALL_PROXY": "a:1"}, "https://b.org/", "http://a:1 (from ALL_PROXY)"),
        ({"HTTPS_PROXY": "h:1", "NO_PROXY": "b.org"}, "https://b.org/", None),
        ({"HTTPS_PROXY": "h:1", "no_proxy": "b.org"}, "https://b.org/", None),
        ({"ALL_PROXY": "a:1", "NO_PROXY": "*"}, "https://b.org/", None),
    ],
)
def test_the_proxy_follows_the_environment(environ: dict[str, str], url: str, expected: str | None) -> None:
    found = proxy_for(url, None, environ)
    assert (str(found) if found else None) == expected


def test_settings_take_precedence_over_the_environment() -> None:
    environ = {"HTTPS_PROXY": "h:1", "NO_PROXY": "*"}
    assert str(proxy_for("https://b.org/", "http://s:1", environ)) == "http://s:1 (from the settings)"
    environ["ERA5DL_PROXY"] = "http://s:1/"
    assert str(proxy_for("https://b.org/", "http://s:1", environ)) == "http://s:1 (from ERA5DL_PROXY)"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"https": "http://h:1", "http": "http://p:1"}, "http://h:1"),
        ({"http": "http://p:1"}, None),
        ({"socks": "http://s:1"}, "socks5h://s:1"),  # as macOS says it
        ({"https": "socks4://s:1"}, "socks4://s:1"),  # as Python says it for Windows
        ({}, None),
    ],
)
@pytest.mark.parametrize("system", ["registry", "macosx_sysconf"])
def test_the_systems_proxy_is_used_if_no_variable_is_set(
    monkeypatch: pytest.MonkeyPatch, system: str, found: dict[str, str], expected: str | None
) -> None:
    monkeypatch.setattr(urllib.request, f"getproxies_{system}", lambda: found, raising=False)
    monkeypatch.setattr(urllib.request, f"proxy_bypass_{system}", lambda host: host == "local.org", raising=False)
    proxy = proxy_for("https://b.org/", None, {"NO_PROXY": "c.org"})
    assert (str(proxy) if proxy else None) == (f"{expected} (from the system's settings)" if expected else None)
    assert proxy_for("https://local.org/", None, {}) is None
    assert proxy_for("https://c.org/", None, {"NO_PROXY": "c.org"}) is None
    assert proxy_for("https://b.org/", None, {"HTTP_PROXY": "e:1"}) is None, "one variable is the say of them all"


@pytest.mark.parametrize(
    ("exceptions", "host", "port", "expected"),
    [
        ("", "a.org", 443, False),
        ("*", "a.org", 443, True),
        ("a.org", "a.org", 443, True),
        ("A.ORG", "a.org", 443, True),
        ("a.org", "A.org.", 443, True),
        ("a.org", "b.a.org", 443, True),
        ("a.org", "ba.org", 443, False),
        (".a.org", "b.a.org", 443, True),
        (".a.org", "a.org", 443, True),
        ("*.a.org", "b.a.org", 443, True),
        ("a.org:443", "a.org", 443, True),
        ("a.org:444", "a.org", 443, False),
        ("x, a.org", "a.org", 443, True),
        ("x a.org", "a.org", 443, True),
        (",", "a.org", 443, False),
        (".", "a.org", 443, False),
        ("127.0.0.1", "127.0.0.1", 80, True),
        ("127.0.0.1:80", "127.0.0.1", 80, True),
        ("127.0.0.1:81", "127.0.0.1", 80, False),
        ("10.0.0.0/8", "10.1.2.3", 80, True),
        ("10.0.0.1/8", "10.1.2.3", 80, True),
        ("10.0.0.0/8", "11.1.2.3", 80, False),
        ("0.0.1", "127.0.0.1", 80, False),
        ("::1", "::1", 80, True),
        ("[::1]", "::1", 80, True),
        ("[::1]:80", "0:0:0:0:0:0:0:1", 80, True),
        ("[::1]:81", "::1", 80, False),
        ("fd00::/8", "fd12::1", 80, True),
        ("10.0.0.0/8", "fd12::1", 80, False),
        ("10.0.0.0/8", "a.org", 80, False),
        ("localhost", "localhost", 80, True),
    ],
)
def test_no_proxy(exceptions: str, host: str, port: int, expected: bool) -> None:
    assert is_bypassed(host, port, exceptions) is expected


# -- requests through a proxy ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["http", "https"])
def server(request: pytest.FixtureRequest) -> Iterator[FaultServer]:
    certificates = request.getfixturevalue("certificates") if request.param == "https" else None
    with FaultServer(certificates=certificates) as made:
        made.put(KEY, DATA)
        yield made


def bucket_of(server: FaultServer, proxy: str, host: str = NAME, **options: object) -> S3Bucket:
    """Return a bucket at the server, by a host name that does not resolve here, through this proxy."""
    url = server.endpoint_url.replace("127.0.0.1", host)
    return S3Bucket(replace(settings_for(server), endpoint_url=url, proxy=proxy, **options))  # type: ignore[arg-type]


def fetched(bucket: S3Bucket, abort: Abort | None = None) -> bytes:
    with bucket.open(OBJ, 0, len(DATA), abort or Abort()) as body:
        came = bytearray()
        while data := read_some(body, 1 << 16):
            came += data
    return bytes(came)


@pytest.fixture
def no_names_here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the resolution of all host names fail. Returns the list of names that were looked up."""
    real, tried = socket.getaddrinfo, []

    def resolve(host: str, *args: object, **keywords: object) -> object:
        if host == NAME:
            tried.append(host)
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *args, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return tried


@pytest.mark.parametrize("scheme", ["http", "https", "socks5h", "socks4a"])
def test_an_object_is_fetched_through_a_proxy_that_resolves_the_name(
    server: FaultServer, certificates: Certificates, no_names_here: list[str], scheme: str
) -> None:
    names = {NAME: ("127.0.0.1", server.port)}
    made = (
        Socks(names)
        if scheme.startswith("socks")
        else Http(names, tls=certificates.context if scheme == "https" else None)
    )
    with made as proxy:
        ca_file = str(certificates.ca_file)
        bucket = bucket_of(server, f"{scheme}://{proxy.place}", ca_bundle=ca_file)
        try:
            assert bucket.head(KEY).size == len(DATA)
            assert [obj.key for obj in bucket.list("")] == [KEY]
            assert fetched(bucket) == DATA
            assert fetched(bucket) == DATA  # over a reused connection, if possible
        finally:
            bucket.drop_idle_connections()
    assert set(proxy.asked) == {(NAME, server.port)}
    assert no_names_here == [], "the name is the proxy's to look up"


@pytest.mark.parametrize("scheme", ["socks5", "socks4"])
def test_an_object_is_fetched_with_a_locally_resolved_name(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    real = socket.getaddrinfo
    dead = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::2", server.port, 0, 0))  # the proxy cannot reach it

    def resolve(host: str, port: object, family: int = 0, *args: object, **keywords: object) -> object:
        found = real("127.0.0.1" if host == NAME else host, port, family, *args, **keywords)  # type: ignore[arg-type]
        return [dead, *found] if host == NAME and family != socket.AF_INET else found

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with Socks() as proxy:
        bucket = bucket_of(server, f"{scheme}://{proxy.place}")
        assert fetched(bucket) == DATA
        bucket.drop_idle_connections()
    assert proxy.asked == [("127.0.0.1", server.port)]


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
def test_user_name_and_password_reach_the_proxy(server: FaultServer, scheme: str) -> None:
    user, password = "us er", "p@ss:wörd/%"
    names = {NAME: ("127.0.0.1", server.port)}
    basic = "Basic " + b64encode(f"{user}:{password}".encode()).decode()
    made = Socks(names, login=(user, password)) if scheme == "socks5h" else Http(names, authorization=basic)
    with made as proxy:
        bucket = bucket_of(server, f"{scheme}://us%20er:p%40ss%3Aw%C3%B6rd%2F%25@{proxy.place}")
        assert fetched(bucket) == DATA
        bucket.drop_idle_connections()


@pytest.mark.slow
def test_the_timeout_is_for_all_addresses_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy answers for neither of two addresses: for the first one only after most of the timeout."""

    class SlowSocks(Socks):
        def talk(self, sock: socket.socket) -> None:
            if self.taken == 1:
                self.ended.wait(1.5)  # then the connection is closed, and the next address is tried
            else:
                self.ended.wait(60)

    real = socket.getaddrinfo
    found = [real(address, 443, type=socket.SOCK_STREAM)[0] for address in ("127.0.0.2", "127.0.0.3")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *a, **k: found if host == NAME else real(host, *a, **k))
    with SlowSocks() as proxy:
        connector = Connector(parse_proxy(f"socks5://{proxy.place}", "a test"), TrustStore())
        began = time.monotonic()
        with pytest.raises(errors.Unreachable):
            connector.connect(NAME, 443, 2.0)
        assert time.monotonic() - began < 3.0
        assert proxy.taken == 2


def test_a_connection_to_a_proxy_has_the_full_timeout(server: FaultServer) -> None:
    for made in (Http(), Socks()):
        with made as proxy:
            scheme = "http" if isinstance(made, Http) else "socks5h"
            connector = Connector(parse_proxy(f"{scheme}://{proxy.place}", "a test"), TrustStore())
            with connector.connect("127.0.0.1", server.port, 7.5) as sock:
                assert sock.gettimeout() == 7.5


def test_connections_through_socks_are_reused_and_have_keepalive(server: FaultServer) -> None:
    with Socks({NAME: ("127.0.0.1", server.port)}) as proxy:
        bucket = bucket_of(server, f"socks5h://{proxy.place}")
        abort = Abort()
        for _ in range(5):
            with bucket.open(OBJ, 0, len(DATA), abort) as body:
                assert abort._socket is not None
                assert abort._socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0
                assert type(abort._socket) in (socket.socket, ssl.SSLSocket), "not PySocks', which is slow"
                while read_some(body, 1 << 16):
                    pass
        assert len(proxy.asked) == 1
        bucket.drop_idle_connections()


# -- errors ----------------------------------------------------------------------------------------------------------


def fault_of(bucket: S3Bucket) -> errors.Era5Error:
    """Return the error of a HEAD and a GET, which must be the same."""
    said = []
    for ask in (lambda: bucket.head(KEY), lambda: fetched(bucket)):
        with pytest.raises(errors.Era5Error) as caught:
            ask()
        assert SECRET not in "".join(traceback.format_exception(caught.value))
        said.append(caught.value)
    bucket.drop_idle_connections()
    assert (type(said[0]), str(said[0])) == (type(said[1]), str(said[1]))
    return said[0]


@pytest.mark.parametrize("scheme", ["http", "https", "socks5h", "socks5", "socks4"])
def test_a_proxy_that_refuses_the_connection_is_reported(server: FaultServer, closed: int, scheme: str) -> None:
    bucket = bucket_of(server, f"{scheme}://user:{SECRET}@127.0.0.1:{closed}", host="127.0.0.1")
    error = fault_of(bucket)
    assert type(error) is errors.Unreachable
    assert str(error) == f"the proxy {scheme}://127.0.0.1:{closed} (from the settings) refuses the connection"
    assert "running" in error.remedy


@pytest.fixture
def closed() -> Iterator[int]:
    """A port that refuses connections."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def test_the_error_names_the_variable_that_sets_the_proxy(
    server: FaultServer, closed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", f"socks5h://user:{SECRET}@127.0.0.1:{closed}")
    error = fault_of(bucket_of(server, ""))
    assert str(error) == f"the proxy socks5h://127.0.0.1:{closed} (from ALL_PROXY) refuses the connection"


def test_a_proxy_whose_host_name_does_not_exist(server: FaultServer, no_names_here: list[str]) -> None:
    for scheme in ("http", "socks5h"):
        error = fault_of(bucket_of(server, f"{scheme}://{NAME}:1", host="127.0.0.1"))
        assert type(error) is errors.Unreachable
        assert str(error).startswith(f"the proxy {scheme}://{NAME}:1 (from the settings) cannot be found")
    assert no_names_here


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"manner": "deaf"}, errors.Unreachable, "does not answer"),
        ({"manner": "drip"}, errors.Unreachable, "does not answer"),
        ({"manner": "hang up"}, errors.Unreachable, "closes the connection"),
        ({"manner": "nonsense"}, errors.Unreachable, "is not a proxy of this kind"),
        ({"reply": 1}, errors.Unreachable, "cannot reach the server: General SOCKS server failure"),
        ({"reply": 2}, errors.BucketRefused, "does not allow connections"),
        ({"reply": 4}, errors.Unreachable, "cannot reach the server: Host unreachable"),
        ({"reply": 5}, errors.Unreachable, "cannot reach the server: Connection refused"),
        ({"login": ("user", "another")}, errors.BucketRefused, "does not accept the user name and password"),
    ],
    ids=str,
)
def test_errors_of_a_socks_proxy_are_reported(
    server: FaultServer, options: dict[str, object], kind: type[errors.Era5Error], words: str
) -> None:
    with Socks(**options) as proxy:  # type: ignore[arg-type]
        error = fault_of(bucket_of(server, f"socks5h://user:{SECRET}@{proxy.place}", connect_timeout=1.0))
    assert type(error) is kind
    assert str(error).startswith(f"the proxy socks5h://{proxy.place} (from the settings) ")
    assert words in str(error)


def test_a_socks_proxy_that_requires_a_login(server: FaultServer) -> None:
    with Socks(login=("user", SECRET)) as proxy:
        error = fault_of(bucket_of(server, f"socks5h://{proxy.place}"))
    assert type(error) is errors.BucketRefused
    assert "requires a user name and password" in str(error)
    assert f"socks5h://USER:PASSWORD@{proxy.place}" in error.remedy


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("login", ["", f"user:{SECRET}@"])
def test_an_http_proxy_that_requires_a_login(
    server: FaultServer, certificates: Certificates, scheme: str, login: str
) -> None:
    tls = certificates.context if scheme == "https" else None
    with Http(authorization="Basic of somebody else", tls=tls) as proxy:
        bucket = bucket_of(server, f"{scheme}://{login}{proxy.place}", ca_bundle=str(certificates.ca_file))
        error = fault_of(bucket)
    assert type(error) is errors.BucketRefused
    assert ("does not accept the user name" if login else "requires a user name") in str(error)
    assert proxy.place in str(error) and "the settings" in error.remedy


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        ("403 Forbidden", errors.BucketRefused, "does not allow connections to the server: 403 Forbidden"),
        ("502 Bad Gateway", errors.Unreachable, "cannot reach the server: 502 Bad Gateway"),
        ("503 Service Unavailable", errors.Unreachable, "cannot reach the server: 503 Service Unavailable"),
    ],
)
def test_an_http_proxy_that_refuses_the_tunnel(
    fault_server_tls: FaultServer, status: str, kind: type[errors.Era5Error], words: str
) -> None:
    with Http(status=status) as proxy:
        error = fault_of(bucket_of(fault_server_tls, f"http://{proxy.place}"))
    assert type(error) is kind
    assert str(error) == f"the proxy http://{proxy.place} (from the settings) {words}"


def test_an_http_proxy_that_does_not_answer(fault_server_tls: FaultServer) -> None:
    with Socks(manner="deaf") as proxy:
        error = fault_of(bucket_of(fault_server_tls, f"http://{proxy.place}", connect_timeout=0.5))
    assert type(error) is errors.Unreachable
    assert str(error) == f"the proxy http://{proxy.place} (from the settings) does not answer"


def test_the_certificate_of_a_proxy_is_verified(
    server: FaultServer, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Also for a server without TLS."""
    others = make_certificates(tmp_path_factory.mktemp("others"))
    wrong_name = make_certificates(tmp_path_factory.mktemp("wrong name"), "elsewhere.example.org")
    for tls, ca_file in ((others.context, certificates.ca_file), (wrong_name.context, wrong_name.ca_file)):
        with Http({NAME: ("127.0.0.1", server.port)}, tls=tls) as proxy:
            error = fault_of(bucket_of(server, f"https://{proxy.place}", ca_bundle=str(ca_file)))
        assert type(error) is errors.Untrusted
        assert proxy.place in str(error)
        assert proxy.asked == [], "not a word was said to it"


def test_the_servers_certificate_is_verified_through_a_proxy(
    fault_server_tls: FaultServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = str(make_certificates(tmp_path_factory.mktemp("other")).ca_file)
    names = {NAME: ("127.0.0.1", fault_server_tls.port)}
    for scheme, made in (("http", Http(names)), ("socks5h", Socks(names))):
        with made as proxy:
            error = fault_of(bucket_of(fault_server_tls, f"{scheme}://{proxy.place}", ca_bundle=other))
        assert type(error) is errors.Untrusted
        assert "proxy" not in str(error)


# -- aborts and timeouts ---------------------------------------------------------------------------------------------


def ended_soon(work: Callable[[], object], abort: Abort, ready: Callable[[], bool]) -> str:
    """Run `work`, trip the abort as soon as `ready` is true, and return the name of the resulting error."""
    said: list[str] = []

    def run() -> None:
        try:
            work()
        except errors.Era5Error as error:
            said.append(type(error).__name__)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    waited = threading.Event()
    for _ in range(1000):
        if ready():
            break
        waited.wait(0.01)
    abort.trigger("the test")
    thread.join(SOON)
    assert not thread.is_alive()
    return said[0] if said else ""


@pytest.mark.parametrize("scheme", ["socks5h", "http"])
def test_stopping_does_not_wait_for_a_proxy_that_does_not_answer(fault_server_tls: FaultServer, scheme: str) -> None:
    with Socks(manner="deaf") as proxy:
        bucket = bucket_of(
            fault_server_tls, f"{scheme}://{proxy.place}", host="127.0.0.1", connect_timeout=60.0, read_timeout=60.0
        )
        abort = Abort()
        assert ended_soon(lambda: bucket.head(KEY, abort), abort, lambda: proxy.taken > 0) == "Stopped"


def test_reading_through_tls_in_tls_can_be_aborted(fault_server_tls: FaultServer, certificates: Certificates) -> None:
    fault_server_tls.put(KEY, DATA)
    fault_server_tls.script(Fault("body-stall", at=100_000, seconds=60))
    with Http({NAME: ("127.0.0.1", fault_server_tls.port)}, tls=certificates.context) as proxy:
        bucket = bucket_of(fault_server_tls, f"https://{proxy.place}", read_timeout=60.0)
        abort, came = Abort(), bytearray()

        def work() -> None:
            with bucket.open(OBJ, 0, len(DATA), abort) as body:
                while data := read_some(body, 1 << 16):
                    came.extend(data)

        ended_soon(work, abort, lambda: len(came) == 100_000)
    assert came == DATA[:100_000]


def test_slow_headers_through_tls_in_tls_time_out(fault_server_tls: FaultServer, certificates: Certificates) -> None:
    fault_server_tls.script(Fault("header-drip", seconds=60, times=None, on=("head",)))
    with Http({NAME: ("127.0.0.1", fault_server_tls.port)}, tls=certificates.context) as proxy:
        bucket = bucket_of(fault_server_tls, f"https://{proxy.place}", read_timeout=1.0)
        abort = Abort()
        assert ended_soon(lambda: bucket.head(KEY, abort), Abort(), lambda: bool(proxy.asked)) == "Interrupted"
