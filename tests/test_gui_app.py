"""Tests of the window as a whole: start-up without a display, shortcuts, startup options, a real mouse."""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest

from era5dl import gui
from era5dl.demo.server import find_rclone
from era5dl.gui.backend import demo_server, desktop, messages
from era5dl.gui.menus import MENUS, QUEUE, accelerator, event_keys
from era5dl.gui.models import preferences
from era5dl.gui.models.preferences import Preferences
from era5dl.session import Session
from tests.faultlab import FaultServer, Link
from tests.gui_driver import NAMES, Window, options, two_days, wrong

pytest_plugins = ["tests.gui_screen", "tests.gui_window"]


def test_without_a_display_one_line_explains_the_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    assert gui.main([]) == 3
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "DISPLAY" in said
    assert "era5dl --help" in said


def test_an_unresponsive_display_is_reported_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tkinter")
    monkeypatch.setenv("DISPLAY", ":9999")
    assert gui.main([]) == 3
    assert "cannot open" in capsys.readouterr().err


def test_without_tkinter_one_line_explains_the_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gui, "find_spec", lambda name: None)
    assert gui.main([]) == 3
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "tkinter" in said


def test_the_core_needs_no_tkinter() -> None:
    code = "import sys; sys.modules['tkinter'] = None; import era5dl, era5dl.api, era5dl.cli.main, era5dl.engine.engine"
    code += "; import era5dl.gui, era5dl.gui.backend.service, era5dl.gui.menus"
    code += "; import era5dl.gui.models.request_form, era5dl.gui.models.queue"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_menu_action_exists_and_no_key_is_bound_twice() -> None:
    from era5dl.gui.actions import Actions

    items = [item for menu in MENUS for item in menu.items if item is not None]
    of_table = {"Control-c", "Return"}  # bound by the table itself
    assert {item.key for item in QUEUE if item is not None and item.key} <= {item.key for item in items} | of_table
    assert all(callable(getattr(Actions, item.action, None)) for item in items)
    keys = [item.key for item in items if item.key]
    assert len(keys) == len(set(keys))
    assert [accelerator(key) for key in ("Control-Return", "Control-p", "Control-Key-1", "F1", "Control-comma")] == [
        "Ctrl+Enter", "Ctrl+P", "Ctrl+1", "F1", "Ctrl+,"
    ]  # fmt: skip


def test_shortcuts_use_the_command_key_on_macos() -> None:
    assert [accelerator(key, "darwin") for key in ("Control-p", "Control-Key-1", "F1")] == [
        "Command-p",
        "Command-1",
        "F1",
    ]
    assert event_keys("Control-p", "darwin") == ("Command-p", "Control-p")
    assert event_keys("Control-p", "linux") == ("Control-p",)
    assert event_keys("F1", "darwin") == ("F1",)


def test_a_download_with_the_keyboard_only(
    open_window: Callable[..., Window],
    fault_server: FaultServer,
    objects: dict[str, bytes],
    tmp_path: Path,
) -> None:
    fault_server.link = Link(speed=150_000)
    window = open_window(**options(fault_server, tmp_path / "era5"))
    root, request = window.root, window.page.request
    root.focus_force()
    root.update()
    root.event_generate("<Control-f>")
    root.update()
    assert root.focus_get() is request.search.entry
    for letter in "an.pl/t":
        key = {".": "period", "/": "slash"}.get(letter, letter)
        root.event_generate("<Key>", keysym=key)
    root.update()
    tree = request.tree.tree
    item = next(i for i, leaf in request.tree._leaves.items() if leaf.id == "an.pl/t")
    tree.focus_force()
    tree.focus(item)
    root.update()
    tree.event_generate("<space>")
    window.choose_days("2021-02-01", "2021-02-02")
    window.wait_until(lambda: window.can_start)
    root.event_generate("<Control-Return>")
    window.wait_until(window.running)
    root.event_generate("<Control-p>")
    window.wait_until(lambda: window.page.totals.can_resume)
    for number, page in enumerate(("1", "2", "3", "4", "5")):
        root.event_generate(f"<Control-Key-{page}>")
        root.update()
        assert window.app.pages.notebook.index("current") == number
    root.event_generate("<Control-Key-1>")
    root.event_generate("<Control-p>")
    fault_server.link = Link()
    window.wait_until(lambda: "2 files downloaded and verified" in window.page.banner.text)


def test_the_window_has_the_icon_of_the_program(open_window: Callable[..., Window], tmp_path: Path) -> None:
    if shutil.which("xprop") is None:
        pytest.skip("xprop shows the icon, and is not installed")
    window = open_window(out=tmp_path)
    window.root.update()
    command = ["xprop", "-name", window.root.title(), "_NET_WM_ICON"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    assert "Icon (48 x 48)" in found, found[:300]


def test_ctrl_a_selects_the_whole_field(open_window: Callable[..., Window], tmp_path: Path) -> None:
    window = open_window(endpoint_url="http://127.0.0.1:9", bucket="b", out=tmp_path)
    entry = window.page.request.folder
    entry.focus_force()
    window.root.update()
    entry.event_generate("<Control-a>")
    window.root.update()
    assert entry.selection_get() == str(tmp_path)


def test_a_shortcut_closes_an_open_menu(open_window: Callable[..., Window], tmp_path: Path) -> None:
    window = open_window(endpoint_url="http://127.0.0.1:9", bucket="b", out=tmp_path)
    root, menu = window.root, window.page.request._variables._preset_menu
    root.update()
    menu.tk_popup(200, 200)
    window.wait_until(menu.winfo_viewable)
    menu.focus_force()
    root.update()
    menu.event_generate("<Control-f>")
    window.wait_until(lambda: not menu.winfo_viewable(), timeout=5)
    assert root.focus_get() is window.page.request.search.entry


def test_tab_reaches_every_control_of_the_page(open_window: Callable[..., Window], tmp_path: Path) -> None:
    window = open_window(endpoint_url="http://127.0.0.1:9", bucket="b", out=tmp_path)
    page, root = window.page, window.root
    page.request.search.entry.focus_force()
    root.update()
    reached = []
    for _step in range(40):
        root.focus_get().event_generate("<Tab>")  # type: ignore[union-attr]
        root.update()
        reached.append(root.focus_get())
    for wanted in (page.request.tree.tree, page.request.first.entry, page.request.folder, page.queue.table.canvas,
                   page.queue.search.entry, page.totals.workers, page.totals.limit):  # fmt: skip
        assert wanted in reached, wanted
    header = window.app.header
    across = [widget.winfo_rootx() for widget in dict.fromkeys(reached) if str(widget).startswith(str(header))]
    assert across == sorted(across), "through the header from left to right"
    assert len(across) == 5


def test_the_objects_of_a_plan_are_frozen_for_the_garbage_collector(
    open_window: Callable[..., Window], tmp_path: Path
) -> None:
    window = open_window(endpoint_url="http://127.0.0.1:9", bucket="b", out=tmp_path)
    kept = [[number] for number in range(10_000)]
    window.app.handle(messages.PlanProgressed(0, 1, 2))
    looked_at = set(map(id, gc.get_objects()))
    assert not looked_at.intersection(map(id, kept))


def test_an_exception_in_a_callback_is_logged_and_the_window_stays_open(
    open_window: Callable[..., Window],
    tmp_path: Path,
) -> None:
    window = open_window(endpoint_url="http://127.0.0.1:9", bucket="b", out=tmp_path)
    window.app._report_bug(ValueError, ValueError("a bug"), None)
    assert any("a bug" in line.text for line in window.app.controllers.monitoring.log.lines())


def test_sleep_is_prevented_by_a_program_of_the_system() -> None:
    assert desktop.inhibit_command("linux", 1)[0] == "systemd-inhibit"
    assert desktop.inhibit_command("darwin", 7) == ["caffeinate", "-i", "-w", "7"]
    assert desktop.inhibit_command("plan9", 1) == []


def test_the_text_of_a_notification_is_never_executed() -> None:
    command = desktop.notification_command("t", '" & do evil', "darwin")
    assert command[-1] == '" & do evil'
    assert not any("evil" in part for part in command[:-1])
    assert desktop.notification_command("t", "x", "win32") == []


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of other kinds")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_closes_the_window(screen: object, fault_server: FaultServer, tmp_path: Path, name: str) -> None:
    """During a download: the resume file has what was received, and the lock is released."""
    for number in range(4):
        fault_server.put(f"a/{number}.bin", bytes(1_000_000))
    fault_server.link = Link(speed=300_000)
    program = """
        import os, signal, sys
        from pathlib import Path
        from era5dl import gui
        from era5dl.bucket.s3 import S3Bucket
        from era5dl.gui.app import App
        from era5dl.planner import plan_keys
        from era5dl.settings import Settings

        _, endpoint, out, name = sys.argv
        settings = Settings(endpoint_url=endpoint, disk_reserve=0)
        plan = plan_keys([f"a/{number}.bin" for number in range(4)], S3Bucket(settings))
        begin = App.__init__

        def started(self, root, options):
            begin(self, root, options)
            root.after(10, lambda: self.service.runs.start(plan, Path(out), settings))
            root.after(50, lambda: look(self, root))

        def look(self, root):
            snapshot = self.service.runs.snapshot()
            if snapshot is not None and snapshot.fetched_bytes:
                os.kill(os.getpid(), getattr(signal, name))
            else:
                root.after(50, lambda: look(self, root))

        App.__init__ = started
        sys.exit(gui.main([]))
    """
    out = tmp_path / "out"
    command = [sys.executable, "-c", textwrap.dedent(program), fault_server.endpoint_url, str(out), name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    with Session.open(out) as session:  # the lock is free
        assert session.checkpoint.done_bytes > 0


@pytest.fixture(params=["en", "zh_CN"])
def program(
    request: pytest.FixtureRequest,
    screen: object,
    quick: None,  # first: it writes preferences too
    fault_server: FaultServer,
    tmp_path: Path,
    objects: dict[str, bytes],
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The program in a process of its own, with saved variables and dates."""
    if shutil.which("xdotool") is None:
        pytest.skip("no xdotool here")
    state = Path(os.environ["ERA5DL_STATE_DIR"])
    selection = {"variables": list(NAMES), "period": "range", "first": "2021-02-01", "last": "2021-02-02",
                 "years": [], "months": [], "days": []}  # fmt: skip
    remembered = {
        "language": request.param,
        "disk_reserve": 0,
        "selection": json.dumps(selection),
        "notifications": False,
    }
    (state / "window.json").write_text(json.dumps(remembered))
    command = [sys.executable, "-m", "era5dl.gui", "--out", str(tmp_path / "era5"), "--scale", "1"]
    command += ["--endpoint-url", fault_server.endpoint_url, "--bucket", fault_server.bucket]
    process = subprocess.Popen(command)
    yield process, request.param
    process.kill()
    process.wait()


@pytest.mark.slow
def test_start_is_clicked_with_a_real_mouse(
    program: tuple[subprocess.Popen[bytes], str],
    fault_server: FaultServer,
    objects: dict[str, bytes],
    tmp_path: Path,
) -> None:
    process, _language = program
    window = visible_window()
    end = time.monotonic() + 30
    while wrong(tmp_path / "era5", objects):
        assert time.monotonic() < end, "the click did not start the download"
        assert process.poll() is None
        click_start(window)


def visible_window() -> str:
    search = ["xdotool", "search", "--sync", "--onlyvisible", "--class", "Era5dl"]
    return subprocess.run(search, capture_output=True, timeout=20, check=True).stdout.split()[0].decode()


def click_start(window: str) -> None:
    """Click the middle of the Start button with xdotool."""
    said = subprocess.run(["xdotool", "getwindowgeometry", "--shell", window], capture_output=True, check=True)
    facts = dict(line.split("=") for line in said.stdout.decode().split())
    place = ("200", str(int(facts["HEIGHT"]) - 66))
    subprocess.run(["xdotool", "mousemove", "--window", window, *place, "click", "1"], check=True)
    time.sleep(0.5)


@pytest.mark.slow
def test_after_a_kill_the_window_offers_to_resume_the_session(
    program: tuple[subprocess.Popen[bytes], str],
    open_window: Callable[..., Window],
    fault_server: FaultServer,
    objects: dict[str, bytes],
    tmp_path: Path,
) -> None:
    process, _language = program
    out = tmp_path / "era5"
    fault_server.link = Link(speed=60_000)
    window_id = visible_window()
    end = time.monotonic() + 30
    while not list(out.glob(".era5dl/*.json")):
        assert time.monotonic() < end
        click_start(window_id)
    time.sleep(1.0)  # for some bytes and a checkpoint
    process.kill()
    process.wait()
    assert wrong(out, objects)

    fault_server.link = Link()
    preferences.save(Preferences(language="en", disk_reserve=0))
    window = open_window(**options(fault_server, out))
    window.wait_until(lambda: "was interrupted at" in window.page.banner.text)
    window.page.banner._button.invoke()
    window.wait_until(lambda: "6 files downloaded and verified" in window.page.banner.text)
    assert wrong(out, objects) == []


@pytest.mark.parametrize("width", [960, 1280, 1600])
def test_no_text_of_the_totals_is_truncated(open_window: Callable[..., Window], tmp_path: Path, width: int) -> None:
    window = open_window(endpoint_url="http://127.0.0.1:9", bucket="b", out=tmp_path)
    window.root.geometry(f"{width}x700")
    totals, headings = window.page.totals, window.page.queue.table.header
    window.wait_until(lambda: window.root.winfo_width() == width)
    words = (totals._workers_title, totals._limit_title)
    for text in ("Pause", "Resume"):
        totals.pause.configure(text=text)
        window.wait_until(lambda: totals.pause.winfo_width() >= totals.pause.winfo_reqwidth())
        window.wait_until(lambda: all(word.winfo_width() >= word.winfo_reqwidth() for word in words), timeout=3)
    left, right = headings.span(3)
    assert headings._fitter.widest(["100 %"]) + window.app.theme.px(headings.bar_width + 8) <= right - left
    texts = {1: "16 to 28 Feb 2021", 4: "14.0 MB", 5: "1.25 MB/s", 6: "Downloading"}
    for number, text in texts.items():
        if headings.hidden(number) and number == 5 and width == 960:
            continue
        left, right = headings.span(number)
        indent = window.app.theme.px(21) if number == 6 else 0
        assert headings._fitter.widest([text]) + indent <= right - left, text
    assert headings._edges[-1] <= window.page.queue.table.canvas.winfo_width()
    assert [headings.hidden(number) for number in (5, 7, 8)] == [width == 960, width < 1600, True]
    assert totals.chart.winfo_width() >= 180


def test_the_number_of_workers_and_its_reason_are_shown_live_and_saved(
    open_window: Callable[..., Window], fault_server: FaultServer, tmp_path: Path
) -> None:
    preferences.save(Preferences(language="en", disk_reserve=0, workers="auto"))
    two_days(fault_server)
    fault_server.link = Link(speed=100_000)
    window = open_window(**options(fault_server, tmp_path / "out"))
    totals = window.page.totals
    assert totals.workers.get() == "Auto"
    window.plan(*NAMES)
    window.press(window.page.request.start)
    window.wait_until(lambda: totals.workers.get().startswith("Auto ("))
    window.wait_until(lambda: totals._describe_workers().startswith("Auto uses"))
    totals.workers.focus_force()
    totals.workers.delete(0, "end")
    totals.workers.insert(0, "3")
    window.root.update()
    totals.workers.event_generate("<Return>")
    window.root.update()
    snapshot = window.app.service.runs.snapshot()
    assert snapshot is not None and (snapshot.workers, snapshot.auto) == (3, False)
    assert totals.workers.get() == "3" and window.app.store.current.workers == 3
    window.app.store.save()
    assert preferences.load().workers == 3


def test_the_limit_of_the_moment_is_shown_for_a_timetable(
    open_window: Callable[..., Window], fault_server: FaultServer, tmp_path: Path
) -> None:
    preferences.save(Preferences(language="en", disk_reserve=0, rate_limit="00:00,200K"))
    two_days(fault_server)
    window = open_window(**options(fault_server, tmp_path / "out"))
    totals = window.page.totals
    assert totals.limit.get() == "00:00,200K"
    window.plan(*NAMES)
    window.press(window.page.request.start)
    window.wait_until(lambda: "limited to 200 kB/s" in str(totals._detail["text"]))
    totals.limit.delete(0, "end")
    totals.limit.event_generate("<FocusOut>")
    window.wait_until(lambda: "limited to" not in str(totals._detail["text"]))
    snapshot = window.app.service.runs.snapshot()
    assert snapshot is None or snapshot.rate_limit is None
    assert window.app.store.current.rate_limit == 0


def test_leaving_the_limit_unchanged_does_not_round_it(open_window: Callable[..., Window], tmp_path: Path) -> None:
    preferences.save(Preferences(language="en", rate_limit=1_234_567))
    window = open_window(endpoint_url="http://127.0.0.1:9", bucket="b", out=tmp_path)
    assert window.page.totals.limit.get() == "1.23 MB/s"
    window.page.totals.limit.event_generate("<FocusOut>")
    window.root.update()
    assert window.app.store.current.rate_limit == 1_234_567


def test_the_splitter_can_be_moved_and_its_position_is_saved(
    open_window: Callable[..., Window], tmp_path: Path
) -> None:
    window = open_window(endpoint_url="http://127.0.0.1:9", bucket="b", out=tmp_path)
    page, root = window.page, window.root
    root.geometry("1280x700")
    window.wait_until(lambda: root.winfo_width() == 1280)
    usual = page.request.winfo_width()

    def drag(by: int) -> None:
        splitter = page.splitter
        x, y = splitter.winfo_rootx(), splitter.winfo_rooty() + 50
        for event, place in (("<ButtonPress-1>", x), ("<B1-Motion>", x + by), ("<ButtonRelease-1>", x + by)):
            splitter.event_generate(event, rootx=place, rooty=y, x=1, y=50)
        root.update()

    drag(120)
    assert page.request.winfo_width() == usual + 120
    for far in (5000, -5000):  # neither side disappears
        drag(far)
        assert page.request.winfo_width() >= 300
        assert page.queue.winfo_width() >= 550
    drag(60)
    wanted = page.request.winfo_width()
    root.geometry("960x700")
    window.wait_until(lambda: root.winfo_width() == 960 and page.queue.winfo_width() >= 550)
    window.close()
    again = open_window(endpoint_url="http://127.0.0.1:9", bucket="b", out=tmp_path)
    again.root.geometry("1280x700")
    again.wait_until(lambda: again.page.request.winfo_width() == wanted)
    again.page.splitter.focus_force()
    again.root.update()
    again.page.splitter.event_generate("<Right>")
    again.wait_until(lambda: again.page.request.winfo_width() == wanted + 16)
    again.page.splitter.event_generate("<Home>")
    again.wait_until(lambda: again.page.request.winfo_width() == usual)


def test_the_demo_files_are_made_in_a_child_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if find_rclone() is None:
        pytest.skip("no rclone here")
    quick = "import sys; from era5dl.demo import dataset; dataset._make_files = lambda folder, report: "
    quick += "(folder.mkdir(), report(1, 1)); from era5dl.gui.backend.demo_server import make_files; "
    quick += "make_files(sys.argv[1])"
    monkeypatch.setattr(demo_server, "command_of", lambda _module: [sys.executable, "-c", quick])
    posted: SimpleQueue[messages.Message] = SimpleQueue()

    def never(*_args: object) -> None:
        raise AssertionError("made in the process of the window")

    monkeypatch.setattr("era5dl.demo.dataset._make_files", never)
    demo = demo_server.DemoServerThread(tmp_path / "cache", posted.put)
    demo.start()
    received: list[messages.Message] = []
    while not isinstance(received[-1] if received else None, (messages.DemoReady, messages.DemoFailed)):
        received.append(posted.get(timeout=60))
    demo.stop()
    assert [type(message) for message in received] == [messages.DemoProgressed, messages.DemoReady]


@pytest.mark.parametrize("geometry", ["32767x32767+0+0", "99999x99999+99999+99999", "1280x820+-30000+-30000"])
def test_no_saved_geometry_prevents_the_window_from_opening(open_window: Callable[..., Window], geometry: str) -> None:
    preferences.save(Preferences(geometry=geometry, request_width=10_000))
    window = open_window(endpoint_url="http://127.0.0.1:9", bucket="b")
    window.root.update()
    assert window.root.winfo_width() <= window.root.winfo_screenwidth()
    assert window.root.winfo_height() <= window.root.winfo_screenheight()
    assert -window.root.winfo_width() < window.root.winfo_x() < window.root.winfo_screenwidth()
    window.close()
