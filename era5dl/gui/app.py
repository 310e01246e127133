"""The window: it makes the pages and the conductor, wires them, and closes. The only place that knows them all."""

from __future__ import annotations

import logging
import time
import tkinter as tk
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tkinter import filedialog, ttk
from typing import Any

from era5dl.gui import desktop, facts, form, i18n, preferences, support_report
from era5dl.gui.conductor import Conductor
from era5dl.gui.demo_thread import DemoThread
from era5dl.gui.downloading import Downloading, Surroundings
from era5dl.gui.facts import Fact
from era5dl.gui.form import Fields, Period
from era5dl.gui.help_dialog import HelpDialog
from era5dl.gui.i18n import LANGUAGES, _, follow, translate
from era5dl.gui.log_book import Level
from era5dl.gui.look import scale
from era5dl.gui.look.palette import PALETTES
from era5dl.gui.look.theme import Look
from era5dl.gui.menus import MENUS, accelerator
from era5dl.gui.pages.diagnostics import DiagnosticsCallbacks, DiagnosticsPage
from era5dl.gui.pages.download import DownloadCallbacks, DownloadPage
from era5dl.gui.pages.log import LogCallbacks, LogPage
from era5dl.gui.pages.queue_panel import QueueCallbacks
from era5dl.gui.pages.request_panel import RequestCallbacks
from era5dl.gui.pages.sessions import SessionsCallbacks, SessionsPage
from era5dl.gui.pages.totals_panel import TotalsCallbacks
from era5dl.gui.preferences import Preferences
from era5dl.gui.pump import Pump
from era5dl.gui.question import Question
from era5dl.gui.queue_model import QueueModel
from era5dl.gui.settings_dialog import SettingsCallbacks, SettingsDialog
from era5dl.gui.watching import Pages, Watching
from era5dl.gui.widgets.banner import Kind
from era5dl.gui.widgets.switch import Switch
from era5dl.gui.widgets.tooltip import Tooltip
from era5dl.logs import log_file
from era5dl.settings import Settings
from era5dl.text import plain

_KEYS = "Era5Keys"  # a tag of Tk's for bindings
CLOSE_POLL = 50  # ms between two looks whether everything is saved
CLOSE_PATIENCE = 1.6  # seconds; the window is gone within 2
_log = logging.getLogger("era5dl")


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says. scale: pixels for one of ours, None is what the desktop says."""

    demo: bool = False
    endpoint_url: str | None = None
    bucket: str | None = None
    out: Path | None = None
    folder: Path | None = None  # of a session to open
    scale: float | None = None


class App:
    """One window. Actions of menus and keys are methods without arguments."""

    def __init__(self, root: tk.Tk, options: Options, conductor: Conductor | None = None) -> None:
        self.root, self.options = root, options
        self.conductor = conductor or Conductor()
        self.preferences = self._preset(preferences.load())
        i18n.switch(self.preferences.language or i18n.system_language())
        root.withdraw()
        self.look = Look(root, PALETTES[self.preferences.theme], options.scale)
        if i18n.language() != i18n.ENGLISH and not scale.knows_chinese(root):
            i18n.switch(i18n.ENGLISH)
        self.model = QueueModel()
        self.awake = desktop.Awake()
        self.demo: DemoThread | None = None
        self.question: Question | None = None
        self.settings_dialog: SettingsDialog | None = None
        self.help_dialog: HelpDialog | None = None
        self._phase = 0
        self._closing_since: float | None = None
        self._saving: str | None = None
        around = Surroundings(
            settings=lambda: self.preferences.to_settings(),
            timer=root,
            open_folder=self._open,
            remember=self._remember,
            running=self._running,
            ended=self._ended,
        )
        self.downloading = Downloading(self.conductor, self.model, around)
        self.watching = Watching(self.conductor, around.settings)
        self._make_window()
        self._bind_keys()
        self.downloading.attach(self.download)
        self.watching.attach(Pages(self.sessions, self.diagnostics, self.log))
        self.pump: Pump[Fact] = Pump(root, self.conductor.poll, self.hear, self.draw)
        self._begin()
        root.deiconify()

    # --- making

    def _preset(self, remembered: Preferences) -> Preferences:
        """The command line goes before what is remembered."""
        options = self.options
        out = options.out or (Path("era5dl-demo") / "era5" if options.demo else None)
        given: dict[str, Any] = {
            "endpoint_url": options.endpoint_url,
            "bucket": options.bucket,
            "folder": str(out.absolute()) if out else None,
        }
        return replace(remembered, **{name: value for name, value in given.items() if value is not None})

    def _make_window(self) -> None:
        root, look, px = self.root, self.look, self.look.px
        wide, high = root.winfo_screenwidth(), root.winfo_screenheight()
        root.minsize(min(px(960), wide), min(px(640), high))
        root.geometry(f"{min(px(1280), wide)}x{min(px(820), high)}")
        if self.preferences.geometry:
            try:
                root.geometry(self.preferences.geometry)
            except tk.TclError:
                _log.warning("the place of the window is not understood")
        root.protocol("WM_DELETE_WINDOW", self.close)
        root.report_callback_exception = self._bug
        self._make_header()
        self.tabs: Any = ttk.Notebook(root)  # its methods have no types
        self.tabs.pack(fill="both", expand=True, padx=px(14), pady=(0, px(14)))
        holders = [ttk.Frame(self.tabs, style="Page.TFrame", padding=(0, px(12), 0, 0)) for _page in range(4)]
        do = self.downloading
        self.download = DownloadPage(
            holders[0],
            look,
            self.model,
            DownloadCallbacks(
                RequestCallbacks(do.changed, self.start, self._choose_folder, do.show_missing, self._show_grid),
                QueueCallbacks(
                    lambda chosen: do.retry(list(chosen)),
                    self.conductor.promote,
                    self._open_file,
                    self._copy,
                ),
                TotalsCallbacks(
                    self.conductor.pause, self.conductor.resume, self.stop, self._set_workers, self._set_limit
                ),
            ),
            workers=self.preferences.workers,
            limit=self.preferences.rate_limit,
        )
        self.sessions = SessionsPage(
            holders[1],
            look,
            SessionsCallbacks(
                resume=self._resume_session,
                verify=self.watching.verify,
                stop_verifying=self.conductor.stop_verifying,
                open_folder=self._open,
                forget=self.conductor.forget,
                add_folder=self.open_folder,
            ),
        )
        self.diagnostics = DiagnosticsPage(
            holders[2], look, DiagnosticsCallbacks(self.watching.test, self._save_report)
        )
        self.log = LogPage(
            holders[3], look, LogCallbacks(lambda: self._open(log_file().parent), self.watching.book.clear)
        )
        self.pages = (self.download, self.sessions, self.diagnostics, self.log)
        for holder, page in zip(holders, self.pages, strict=True):
            page.pack(fill="both", expand=True)
            self.tabs.add(holder)
        follow(self.tabs, self._name_tabs)

    def _make_header(self) -> None:
        look, px = self.look, self.look.px
        head = ttk.Frame(self.root, style="Page.TFrame")
        head.pack(fill="x", padx=px(22), pady=(px(12), px(4)))
        follow(ttk.Label(head, style="Page.Title.TLabel"), text=lambda: _("ERA5 Downloader")).pack(side="left")
        self.where = ttk.Label(head, style="Page.Muted.TLabel")
        self.where.pack(side="left", padx=px(12), anchor="s", pady=(0, px(3)))
        self.menu_button = ttk.Button(head, style="Page.Icon.TButton", command=self.show_menu)
        self.help_button = ttk.Button(head, style="Page.Icon.TButton", command=self.show_help)
        self.gear = ttk.Button(head, style="Page.Icon.TButton", command=self.show_settings)
        for button, icon, hint in (
            (self.menu_button, "menu", lambda: _("Menu")),
            (self.help_button, "help", lambda: _("Help")),
            (self.gear, "gear", lambda: _("Settings")),
        ):
            look.set_icon(button, icon, "text", 18)
            Tooltip(button, look, hint)
            button.pack(side="right", padx=(px(4), 0))
        self.dark = Switch(
            head, look, text="", value=self.look.palette.dark, on_change=lambda _on: self.switch_theme(), on_page=True
        )
        self.dark.pack(side="right", padx=(px(12), px(12)))
        follow(head, lambda: self.dark.set_texts(_("Dark")))
        self.language = ttk.Combobox(
            head, state="readonly", width=11, values=list(LANGUAGES.values()), style="Page.TCombobox"
        )
        self.language.set(LANGUAGES[i18n.language()])
        self.language.bind("<<ComboboxSelected>>", lambda _event: self._language_chosen(), add="+")
        self.language.pack(side="right")
        follow(self.root, lambda: self.root.title(_("ERA5 Downloader")))

    def _bind_keys(self) -> None:
        """The window's keys go before those of any widget: Ctrl+Enter starts, also where Enter has a meaning."""
        for menu in MENUS:
            for item in filter(None, menu.items):
                if item.key:
                    self.root.bind_class(_KEYS, f"<{item.key}>", self._key(item.action))
        for widget in _family(self.root):
            widget.bindtags((_KEYS, *widget.bindtags()))

    def _key(self, action: str) -> Callable[[tk.Event[Any]], str]:
        def pressed(_event: tk.Event[Any]) -> str:
            getattr(self, action)()
            return "break"

        return pressed

    def _begin(self) -> None:
        options = self.options
        fields = form.from_text(self.preferences.selection, self.preferences.folder)
        if options.demo:
            fields = demo_fields(self.preferences.folder)
            self.downloading.demo = True
            self.downloading.prepare(True)
            self.demo = DemoThread(Path(self.preferences.folder).with_name("server"), self.conductor.tell)
            self.demo.start()
        self.downloading.fill(fields)
        self.pump.start()
        self.watching.gauges.start()
        self.conductor.list_sessions()
        self._show_where()
        if options.folder is not None:
            self.downloading.resume_session(options.folder, None)

    # --- the pulse

    def hear(self, fact: Fact) -> None:
        """A fact, on Tk's thread."""
        match fact:
            case facts.DemoMaking():
                text = _("Making the demo's files: {done} of {total}", done=fact.done, total=fact.total)
                self.download.banner.show(Kind.INFO, text)
            case facts.DemoReady():
                self.preferences = replace(
                    self.preferences, endpoint_url=fact.endpoint_url, bucket=fact.bucket, proxy="", ca_bundle=""
                )
                self.download.banner.hide(at_once=True)
                self._show_where()
                self.downloading.prepare(False)
                self.conductor.list_sessions()
            case facts.DemoFailed():
                self.download.banner.show(Kind.DANGER, f"{fact.trouble.detail} {fact.trouble.remedy}")
            case facts.Stumbled():
                _log.error("%s: %s", fact.where, fact.trouble.detail)
        self.watching.hear(fact)
        if not (isinstance(fact, facts.SessionsSeen) and self.downloading.preparing):
            self.downloading.hear(fact)

    def draw(self) -> None:
        """Forty times a second, a quarter of what is seen each time."""
        self._phase = (self._phase + 1) % 4
        if self._phase < 3:
            self.downloading.draw(self._phase)
        else:
            self.watching.draw(self.pages[self.tabs.index("current")])

    # --- actions

    def start(self) -> None:
        self.show_download()
        self.downloading.start()

    def stop(self) -> None:
        self.conductor.stop()

    def pause_or_resume(self) -> None:
        self.downloading.pause_or_resume()

    def retry_all(self) -> None:
        self.downloading.retry()

    def show_download(self) -> None:
        self._turn_to(0)

    def show_sessions(self) -> None:
        self.conductor.list_sessions()
        self._turn_to(1)

    def show_diagnostics(self) -> None:
        self._turn_to(2)

    def show_log(self) -> None:
        self._turn_to(3)

    def search(self) -> None:
        """The search of the page that is seen; on the first one the variables', then the files'."""
        visible = self.pages[self.tabs.index("current")]
        if visible is self.log:
            self.log.search.focus_set()
        elif visible is self.download:
            fields = (self.download.request.search, self.download.queue.search)
            there = self.root.focus_get() is fields[0].entry or self.conductor.occupied
            fields[1 if there and self.root.focus_get() is not fields[1].entry else 0].focus_set()

    def switch_theme(self) -> None:
        palette = PALETTES["light" if self.look.palette.dark else "dark"]
        self.look.use(palette)
        self.dark.set(palette.dark)
        self._save(replace(self.preferences, theme=palette.name))

    def _turn_to(self, place: int) -> None:
        self.tabs.select(place)

    def show_help(self) -> None:
        if self.help_dialog is None:
            places = (
                (_("Folder"), self.downloading.fields.folder),
                (_("Settings"), str(preferences.preferences_file())),
                (_("Log"), str(log_file())),
            )
            self.help_dialog = HelpDialog(self.root, self.look, places, self._help_closed)

    def show_settings(self) -> None:
        if self.settings_dialog is None:
            callbacks = SettingsCallbacks(
                changed=self._settings_changed,
                choose_folder=lambda start: filedialog.askdirectory(parent=self.root, initialdir=start or None),
                choose_file=lambda _start: filedialog.askopenfilename(parent=self.root),
                closed=self._settings_closed,
            )
            self.settings_dialog = SettingsDialog(self.root, self.look, self.preferences, callbacks)

    def show_menu(self) -> None:
        """All actions with their keys."""
        menu = self.look.menu(self.root)
        for entry in MENUS:
            part = self.look.menu(menu)
            for item in entry.items:
                if item is None:
                    part.add_separator()
                else:
                    key = accelerator(item.key) if item.key else ""
                    part.add_command(label=translate(item.label), command=getattr(self, item.action), accelerator=key)
            menu.add_cascade(label=translate(entry.label), menu=part)
        button = self.menu_button
        menu.tk_popup(button.winfo_rootx(), button.winfo_rooty() + button.winfo_height())

    def open_folder(self) -> None:
        """A folder that holds a session."""
        chosen = filedialog.askdirectory(parent=self.root, initialdir=self.preferences.folder or None, mustexist=True)
        if chosen:
            self._resume_session(Path(chosen), None)

    def close(self) -> None:
        """Ask once while something is being downloaded; then stop, wait for the checkpoint, and go."""
        if self._closing_since is not None or self.question is not None:
            return
        if not self.conductor.occupied:
            self._end()
            return

        def stay() -> None:
            self.question = None

        self.question = Question(
            self.root,
            self.look,
            title=_("Stop the download and close?"),
            text=_("Everything that has come is kept; the window offers to go on when it is opened again."),
            yes=_("Stop and close"),
            no=_("Keep downloading"),
            on_yes=self._end,
            on_no=stay,
        )

    # --- inside

    def _end(self) -> None:
        self._closing_since = time.monotonic()
        self._save_now()
        self.conductor.close()
        self.downloading.close()
        self.watching.gauges.stop()
        self.awake.release()
        if self.demo is not None:
            self.demo.stop()
        self.root.withdraw()
        self._wait_for_rest()

    def _wait_for_rest(self) -> None:
        """Never a join: a look every now and then."""
        assert self._closing_since is not None
        if self.conductor.at_rest or time.monotonic() - self._closing_since > CLOSE_PATIENCE:
            self.pump.stop()
            self.root.destroy()
        else:
            self.root.after(CLOSE_POLL, self._wait_for_rest)

    def _bug(self, kind: type[BaseException], error: BaseException, trace: Any) -> None:
        """A handler has failed: that is logged, and the window goes on."""
        _log.error("in a handler of the window", exc_info=(kind, error, trace))
        self.watching.book.add(Level.ERROR, f"{kind.__name__}: {error}")

    def _name_tabs(self) -> None:
        for place, text in enumerate((_("Download"), _("Sessions"), _("Diagnostics"), _("Log"))):
            self.tabs.tab(place, text=text)

    def _show_where(self) -> None:
        """The bucket, if it is not the usual one."""
        usual = Settings()
        here = self.preferences
        text = ""
        if self.options.demo:
            text = _("Demo: a bucket on this computer")
        elif here.endpoint_url or here.bucket != usual.bucket:
            text = f"{here.endpoint_url}/{here.bucket}".lstrip("/")
        self.where.configure(text=text)

    def _show_grid(self) -> None:
        self.download.show_grid()

    def _language_chosen(self) -> None:
        self.language.selection_clear()
        code = list(LANGUAGES)[self.language.current()]
        if code != i18n.ENGLISH and not scale.knows_chinese(self.root):
            self.download.banner.show(Kind.WARNING, f"No font with Chinese characters: install {scale.CHINESE_FONTS}.")
            self.language.set(LANGUAGES[i18n.language()])
            return
        self._speak(code)
        self._save(replace(self.preferences, language=code))

    def _speak(self, code: str) -> None:
        i18n.switch(code)
        self.language.set(LANGUAGES[i18n.language()])
        self.downloading.fill(self.downloading.fields)
        self.watching.retranslate()

    def _choose_folder(self) -> None:
        start = self.downloading.fields.folder
        chosen = filedialog.askdirectory(parent=self.root, initialdir=start or None)
        if chosen:
            self.download.request.set_folder(chosen)

    def _open(self, folder: Path) -> None:
        if not desktop.open_folder(folder):
            self.download.banner.show(Kind.INFO, str(folder))

    def _open_file(self, index: int) -> None:
        folder = self.downloading.folder_of(index)
        if folder is not None:
            self._open(folder)

    def _copy(self, text: str) -> None:
        self.root.clipboard_clear()
        self.root.clipboard_append(text)

    def _resume_session(self, folder: Path, session_id: str | None) -> None:
        self.show_download()
        self.downloading.resume_session(folder, session_id)

    def _set_workers(self, workers: int) -> None:
        self.conductor.set_workers(workers)
        self._save(replace(self.preferences, workers=workers))

    def _set_limit(self, limit: int | None) -> None:
        self.conductor.set_rate_limit(limit)
        self._save(replace(self.preferences, rate_limit=limit or 0))

    def _settings_changed(self, changed: Preferences) -> None:
        before, self.preferences = self.preferences, changed
        self._save(changed)
        if changed.theme != self.look.palette.name:
            self.look.use(PALETTES[changed.theme])
            self.dark.set(self.look.palette.dark)
        speech = changed.language or i18n.system_language()
        if speech != i18n.language() and (speech == i18n.ENGLISH or scale.knows_chinese(self.root)):
            self._speak(speech)
        if (changed.workers, changed.rate_limit) != (before.workers, before.rate_limit):
            self.download.totals.show_settings(changed.workers, changed.rate_limit)
            self.conductor.set_workers(changed.workers)
            self.conductor.set_rate_limit(changed.rate_limit or None)
        if changed.folder != before.folder and changed.folder:
            self.download.request.set_folder(changed.folder)
        self._show_where()
        self.downloading.replan()

    def _settings_closed(self) -> None:
        self.settings_dialog = None

    def _help_closed(self) -> None:
        self.help_dialog = None

    def _save_report(self) -> None:
        name = filedialog.asksaveasfilename(
            parent=self.root, initialfile=support_report.file_name(), defaultextension=".zip"
        )
        if name:
            try:
                self.watching.write_report(Path(name), self.preferences)
            except OSError as error:
                self.watching.book.add(Level.ERROR, str(error))
                text = _("The report could not be saved: {reason}", reason=plain(str(error)))
                self.diagnostics.tell(text, Kind.DANGER)
            else:
                self.diagnostics.tell(_("The report is saved: {path}", path=plain(name)), Kind.OK)

    def _remember(self, fields: Fields) -> None:
        self._save(replace(self.preferences, selection=form.to_text(fields), folder=fields.folder))

    def _save(self, changed: Preferences) -> None:
        """Written a second after the last change."""
        self.preferences = changed
        if self._saving is not None:
            self.root.after_cancel(self._saving)
        self._saving = self.root.after(1000, self._save_now)

    def _save_now(self) -> None:
        if self._saving is not None:
            self.root.after_cancel(self._saving)
            self._saving = None
        if not self.options.demo:  # a demo leaves no trace in what a person has set
            preferences.save(replace(self.preferences, geometry=self.root.geometry()))

    def _running(self, running: bool) -> None:
        (self.awake.hold if running else self.awake.release)()

    def _ended(self, text: str) -> None:
        if self.preferences.notifications:
            desktop.notify(_("ERA5 Downloader"), text)


def _family(widget: tk.Misc) -> Iterator[tk.Misc]:
    """The widget and all that is in it."""
    yield widget
    for child in widget.winfo_children():
        yield from _family(child)


def demo_fields(folder: str) -> Fields:
    """What the demo downloads, as the fields would say it."""
    from era5dl.demo import DAYS, VARIABLES

    return Fields(
        variables=frozenset(VARIABLES),
        period=Period.GRID,
        first=DAYS[0].isoformat(),
        last=DAYS[0].isoformat(),
        years=frozenset(day.year for day in DAYS),
        months=frozenset(day.month for day in DAYS),
        days=frozenset(day.day for day in DAYS),
        folder=folder,
    )
