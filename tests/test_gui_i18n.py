"""Tests of the languages: every text is translated, and a switch reaches every widget."""

from __future__ import annotations

import functools
import gettext
import os
import plistlib
import re
import textwrap
from pathlib import Path

import pytest
from babel.messages.catalog import Message

from era5dl import errors, planner
from era5dl import formatting as text
from era5dl.catalog import Cadence, find_preset, find_variable, presets, products, variables
from era5dl.engine.events import Outcome, State
from era5dl.engine.progress import FileState
from era5dl.gui.text import catalog_text, error_text, i18n, status_text
from era5dl.gui.text.i18n import N_, _, follow, ngettext, on_switch, pgettext, switch, translate
from era5dl.gui.text.system_language import first_supported, mac_languages, system_language, windows_languages
from era5dl.session.summary import SessionStatus
from tests import texts

CHINESE = re.compile("[\u4e00-\u9fff]")


@pytest.fixture(autouse=True)
def english():
    """Each test begins and ends in English, without followers."""
    i18n._followers.clear()
    switch("en")
    yield
    i18n._followers.clear()
    switch("en")


# --- the catalogue is complete


@functools.cache
def all_texts() -> tuple[dict[texts.Text, None], list[str]]:
    return texts.all_texts()


def test_the_source_follows_the_rules():
    assert all_texts()[1] == []


def test_every_text_is_translated():
    """The message lists what is missing in the format that `python -m tests.texts FILE` reads."""
    catalogue = texts.read_catalogue()
    missing = [t.name for t in all_texts()[0] if not texts.translation(catalogue.get(t.id, t.context))]
    assert missing == [], "run python -m tests.texts"


def test_the_catalogue_has_no_unused_texts():
    used = {(text.id, text.context) for text in all_texts()[0]}
    unused = [
        message.id for message in texts.read_catalogue() if message.id and (message.id, message.context) not in used
    ]
    assert unused == [], "run python -m tests.texts"


def test_no_entry_is_fuzzy_or_obsolete():
    catalogue = texts.read_catalogue()
    assert [message.id for message in catalogue if message.fuzzy] == []
    assert list(catalogue.obsolete) == []


def finished() -> list[Message]:
    """Entries that have a translation; missing ones are reported by one test only."""
    return [message for message in texts.read_catalogue() if message.id and texts.translation(message)]


def test_translations_have_the_same_placeholders():
    for message in finished():
        if message.context not in ("variable", "preset"):
            english = message.id if isinstance(message.id, str) else message.id[1]
            assert texts.placeholders(texts.translation(message)) == texts.placeholders(english), message.id


def test_translations_begin_and_end_like_the_english_text():
    """No stray spaces or line breaks; a sentence stays a sentence."""
    for message in finished():
        english = message.id if isinstance(message.id, str) else message.id[0]
        chinese = texts.translation(message)
        assert chinese == chinese.strip() or english != english.strip(), english
        assert english.endswith("...") == chinese.endswith("..."), english
        assert english.endswith(".") <= chinese.endswith(("。", "…", "...", "}")), english
        assert not re.search("[\u4e00-\u9fff][,;:?!]", chinese), f"{english}: Chinese has marks of its own: ，；：？！"


def test_the_header_declares_one_plural_form():
    catalogue = texts.read_catalogue()
    assert (catalogue.num_plurals, catalogue.plural_expr.strip("()")) == (1, "0")
    assert catalogue.charset == "utf-8"
    assert str(catalogue.locale_identifier) == "zh_CN"


def test_all_variables_have_distinct_chinese_names():
    switch("zh_CN")
    names = {v.name: catalog_text.variable(v) for v in variables()}
    assert len(names) == 224
    assert [name for name, said in names.items() if not CHINESE.search(said)] == []
    assert len(set(names.values())) == len({v.long_name for v in variables()})
    assert names["an.sfc/2t"] == "2 米气温"


def test_a_variable_can_be_found_by_its_name_in_any_language():
    assert catalog_text.variable_names(find_variable("2t")) == ("2 metre temperature", "2 米气温")
    switch("zh_CN")
    assert catalog_text.variable_names(find_variable("2t")) == ("2 metre temperature", "2 米气温")


# --- rules for the source, each with a source that violates it


def rules(tmp_path: Path, source: str) -> tuple[list[texts.Text], list[str]]:
    path = tmp_path / "page.py"
    path.write_text("from era5dl.gui.text.i18n import _, ngettext\n" + textwrap.dedent(source), encoding="utf-8")
    return texts.texts_of(path)


@pytest.mark.parametrize(
    "source",
    [
        'text = _(f"{count} files")',
        "text = _(name)",
        'text = _("a " + name)',
        'text = _("{n} files").format(n=3)',
        'text = _("{n} files", m=3)',
        'text = _("Pause", n=3)',
        'text = _("{n} files", **values)',
        'text = _("{0} files")',
        'text = _("{a.b}", a=3)',
        'text = _("brace {")',
        'text = _("")',
        'text = ngettext("file", many, 3)',
        'text = ngettext("{n} {what}", "{n} {what}", 3)',
        'text = pgettext(context, "Open")',
        "text = N_(name)",
        'text = translate("Pause")',
        "from era5dl.gui.text.i18n import translate as tr",
        "for _ in range(3): pass",
        "pair = lambda _: 1",
        'Label(text="Pause")',
        'Label(text=f"{n} files")',
        'Label(text="files: " + name)',
        'Label(text="Pause" if running else icon)',
        'window.title("Settings")',
        'tree.heading("size", text="Size")',
    ],
)
def test_each_violation_of_a_rule_is_reported(tmp_path, source):
    assert rules(tmp_path, source)[1] != []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('_("Pause")', [("Pause", None, None)]),
        ('_("{n:,} files in {folder!s}", n=3, folder=path)', [("{n:,} files in {folder!s}", None, None)]),
        ('_("one " "two")', [("one two", None, None)]),
        ('i18n.pgettext("verb", "Open")', [("Open", None, "verb")]),
        ('ngettext("{n} file", "{n} files", count)', [("{n} file", "{n} files", None)]),
        ('ngettext("{n} {what}", "{n} {what}", n, what=kind)', [("{n} {what}", "{n} {what}", None)]),
        ('TABLE = {1: N_("Log"), 2: N_("Sessions")}', [("Log", None, None), ("Sessions", None, None)]),
        ("translate(TABLE[page])", []),
        ('Label(text=NAME, width="x")', []),
        ('Label(text="…")', []),
        ('Label(text=f"{size} {unit}")', []),
        ('Label(text=_("Pause"), style="Big.TLabel")', [("Pause", None, None)]),
        ('tree.heading("size", text=_("Size"))', [("Size", None, None)]),
        ("window.title(NAME)", []),
        ('Palette(text="#ffeedd")', []),
    ],
)
def test_texts_that_follow_the_rules_are_collected(tmp_path, source, found):
    texts_found, wrong = rules(tmp_path, source)
    assert wrong == []
    assert [(t.singular, t.plural, t.context) for t in texts_found] == found


def test_an_underscore_is_a_normal_name_without_gettext(tmp_path):
    path = tmp_path / "page.py"
    path.write_text("for _ in range(3): pass\n")
    assert texts.texts_of(path) == ([], [])


# --- the tool


@pytest.fixture
def workshop(tmp_path, monkeypatch):
    """A source file with one page, and a catalogue, for the tool."""
    page, catalogue = tmp_path / "page.py", tmp_path / "era5dl.po"
    head = texts.CATALOGUE.read_text(encoding="utf-8").partition("\n\n")[0]
    catalogue.write_text(
        head + '\n\nmsgid "Gone"\nmsgstr "没了"\n\n# said to the reader\nmsgid "Stay"\nmsgstr "留"\n', "utf-8"
    )
    monkeypatch.setattr(texts, "CATALOGUE", catalogue)
    monkeypatch.setattr(texts, "sources", lambda: [page])
    monkeypatch.setattr(texts, "catalogue_texts", list)
    page.write_text('_("Stay")\nngettext("{n} file", "{n} files", 2)\npgettext("verb", "Open")\n')
    return page, catalogue


def test_the_tool_prints_missing_texts_and_reads_the_same_format(workshop, tmp_path, capsys):
    _page, catalogue = workshop
    head = catalogue.read_text("utf-8").partition("\n\n")[0]
    assert texts.main([]) == 1
    said = capsys.readouterr()
    assert said.out == '{\n "{n} file": "",\n "verb|Open": ""\n}\n'
    assert "'Gone': 没了" in said.err
    answers = tmp_path / "answers.json"
    answers.write_text('{"{n} file": "{n} 个文件", "verb|Open": "打开", "Nonsense": "x"}', "utf-8")
    assert texts.main([str(answers)]) == 0
    assert "Nonsense" in capsys.readouterr().err
    once = catalogue.read_text("utf-8")
    assert once.startswith(head + "\n\n")
    assert "# said to the reader" in once
    written = texts.read_catalogue()
    assert texts.translation(written.get(("{n} file", "{n} files"))) == "{n} 个文件"
    assert texts.translation(written.get("Open", "verb")) == "打开"
    assert texts.translation(written.get("Stay")) == "留"
    assert not list(tmp_path.glob("*.new"))
    assert texts.main([]) == 0
    assert catalogue.read_text("utf-8") == once


def test_the_tool_keeps_the_translation_of_a_text_that_gets_a_plural(workshop):
    page, _catalogue = workshop
    page.write_text('ngettext("Stay", "Stays", 2)\n')
    assert texts.main([]) == 0
    assert texts.translation(texts.read_catalogue().get(("Stay", "Stays"))) == "留"


def test_the_tool_compiles_what_it_writes(workshop):
    page, catalogue = workshop
    page.write_text('_("Stay")\n')
    assert texts.main([]) == 0
    with catalogue.with_suffix(".mo").open("rb") as file:
        assert gettext.GNUTranslations(file).gettext("Stay") == "留"
    old = catalogue.with_suffix(".mo").stat().st_mtime_ns
    texts.compile_if_stale()
    assert catalogue.with_suffix(".mo").stat().st_mtime_ns == old
    os.utime(catalogue.with_suffix(".mo"), (1, 1))
    texts.compile_if_stale()
    assert catalogue.with_suffix(".mo").stat().st_mtime_ns > old


def test_the_compiled_catalogue_is_up_to_date():
    with texts.CATALOGUE.with_suffix(".mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    assert len(finished()) > 350
    for message in finished():
        if message.context:
            shown = compiled.pgettext(message.context, message.id)
        elif isinstance(message.id, str):
            shown = compiled.gettext(message.id)
        else:
            shown = compiled.ngettext(*message.id, 2)
        assert shown == texts.translation(message)


# --- texts


def test_texts_with_values():
    assert _("Ready") == "Ready"
    assert ngettext("{n:,} day {clock}", "{n:,} days {clock}", 1, clock="x") == "1 day x"
    assert ngettext("{n:,} day {clock}", "{n:,} days {clock}", 2000, clock="x") == "2,000 days x"
    switch("zh_CN")
    assert _("Ready") == "就绪"
    assert [ngettext("{n:,} day {clock}", "{n:,} days {clock}", n, clock="x") for n in (1, 2000)] == [
        "1 天 x",
        "2,000 天 x",
    ]


def test_a_text_without_values_is_not_formatted():
    assert translate(N_("100 % {of nothing")) == "100 % {of nothing"
    assert _("a {brace}", brace="{x}") == "a {x}"


def test_untranslated_texts_stay_english():
    switch("zh_CN")
    assert translate("Never heard of {x}", x=1) == "Never heard of 1"
    assert pgettext("nowhere", "Ready") == "Ready"
    assert ngettext("{n} thing", "{n} things", 3) == "3 things"


def test_the_context_distinguishes_meanings():
    switch("zh_CN")
    assert translate("Temperature", context="variable") == "温度"
    assert pgettext("variable", "Temperature") == "温度"
    assert translate("Temperature") == "Temperature"


@pytest.mark.parametrize("broken", ["{m} 个", "{n", "{n.x}", "{0}", "{n:q}"])
def test_a_broken_translation_does_not_break_the_window(monkeypatch, broken):
    class Broken(gettext.NullTranslations):
        def gettext(self, message: str) -> str:
            return broken

        def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
            return broken

    monkeypatch.setattr(i18n, "_texts", Broken())
    assert _("{n} files", n=3) == "3 files"
    assert [ngettext("{n} file", "{n} files", n) for n in (1, 3)] == ["1 file", "3 files"]


# --- the switch


class Widget:
    """Implements what `follow` needs of a widget."""

    def __init__(self) -> None:
        self.shown: dict[str, str] = {}
        self.when_destroyed = []

    def configure(self, **options: str) -> None:
        self.shown |= options

    def bind(self, sequence, func, add):
        assert (sequence, add) == ("<Destroy>", "+")
        self.when_destroyed.append(func)

    def destroy(self, of=None) -> None:
        event = type("Event", (), {"widget": of or self})()
        for func in self.when_destroyed:
            func(event)


def test_a_switch_changes_the_texts_on_the_screen():
    button = Widget()
    assert follow(button, text=lambda: _("Ready")) is button
    assert button.shown == {"text": "Ready"}
    switch("zh_CN")
    assert button.shown == {"text": "就绪"}
    assert i18n.language() == "zh_CN"
    switch("en")
    assert button.shown == {"text": "Ready"}


def test_values_are_current_at_the_switch():
    label, days = Widget(), [1]
    follow(label, text=lambda: ngettext("{n:,} day {clock}", "{n:,} days {clock}", days[0], clock="x"))
    days[0] = 5
    switch("zh_CN")
    assert label.shown["text"] == "5 天 x"


def test_texts_that_are_not_widget_options():
    tabs, shown = Widget(), []
    follow(tabs, lambda: shown.append(_("Ready")))
    switch("zh_CN")
    assert shown == ["Ready", "就绪"]


def test_a_destroyed_widget_is_no_longer_updated():
    window, other = Widget(), Widget()
    follow(window, text=lambda: _("Ready"))
    window.destroy(of=other)  # its child's end
    switch("zh_CN")
    assert window.shown["text"] == "就绪"
    window.destroy()
    switch("en")
    assert window.shown["text"] == "就绪"
    assert i18n._followers == {}


def test_a_follower_can_be_removed_twice():
    calls = []
    leave = on_switch(lambda: calls.append(i18n.language()))
    switch("zh_CN")
    leave()
    leave()
    switch("en")
    assert calls == ["zh_CN"]


def test_a_failing_follower_does_not_stop_the_others():
    shown = []
    on_switch(lambda: 1 / 0)
    on_switch(lambda: shown.append(_("Ready")))
    with pytest.raises(ZeroDivisionError):
        switch("zh_CN")
    assert shown == ["就绪"]


def test_a_follower_can_be_added_during_a_switch():
    on_switch(lambda: follow(Widget(), text=lambda: _("Ready")))
    switch("zh_CN")
    assert len(i18n._followers) == 2


@pytest.mark.parametrize("unknown", ["fr", "", "zh_TW", "../zh_CN", "EN"])
def test_an_unknown_language_is_english(unknown):
    switch("zh_CN")
    switch(unknown)
    assert (_("Ready"), i18n.language()) == ("Ready", "en")


# --- where the catalogue is


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A locale folder of the test, with an empty cache."""
    monkeypatch.setattr(i18n, "LOCALE", tmp_path)
    home = tmp_path / "zh_CN" / "LC_MESSAGES"
    home.mkdir(parents=True)
    i18n._catalogue.cache_clear()
    yield home
    i18n._catalogue.cache_clear()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("era5dl.mo", b"nonsense"),
        ("era5dl.mo", b""),
        ("era5dl.mo", b"\xde\x12\x04\x95\0\0"),
        ("x", b""),
    ],
)
def test_without_a_readable_catalogue_texts_are_english_and_a_warning_is_logged(elsewhere, caplog, name, content):
    (elsewhere / name).write_bytes(content)
    switch("zh_CN")
    assert _("Ready") == "Ready"
    assert "no texts in zh_CN" in caplog.text


def test_english_needs_no_catalogue(elsewhere, caplog):
    switch("en")
    assert caplog.text == ""


# --- the language of the system


@pytest.mark.parametrize(
    ("wishes", "language"),
    [
        (["zh_CN.UTF-8"], "zh_CN"),
        (["zh_CN.gb18030@stroke"], "zh_CN"),
        (["zh"], "zh_CN"),
        (["zh@pinyin"], "zh_CN"),
        (["zh_SG"], "zh_CN"),
        (["zh-Hans-HK"], "zh_CN"),
        (["zh-Hans"], "zh_CN"),
        (["zh_TW.UTF-8"], "en"),
        (["zh-Hant-CN"], "en"),
        (["zh_TW", "zh_CN"], "zh_CN"),
        (["en_GB", "zh_CN"], "en"),
        (["fr_FR", "zh_CN"], "zh_CN"),
        (["de_DE"], "en"),
        (["C"], "en"),
        (["POSIX", ""], "en"),
        (["zhuang"], "en"),
        ([], "en"),
    ],
)
def test_the_first_supported_language_wins(wishes, language):
    assert first_supported(wishes) == language


@pytest.mark.parametrize(
    ("environ", "language"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh_CN"),
        ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "en_US.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_CN.UTF-8"}, "zh_CN"),
        ({"LC_MESSAGES": "en_US.UTF-8", "LC_ALL": "zh_CN.UTF-8"}, "zh_CN"),
        ({"LC_ALL": "C", "LANG": "zh_CN.UTF-8"}, "en"),
        ({"LC_ALL": "", "LANG": "zh_CN.UTF-8"}, "zh_CN"),
        ({"LANG": "en_US.UTF-8", "LANGUAGE": "zh_CN:en"}, "zh_CN"),
        ({"LANG": "zh_CN.UTF-8", "LANGUAGE": "en_US:zh_CN"}, "en"),
    ],
)
def test_linux_uses_environment_variables(environ, language):
    assert system_language(environ, "linux") == language


def test_windows_uses_the_language_of_its_user_interface_not_lang():
    for number, language in ((0x0804, "zh_CN"), (0x1004, "zh_CN"), (0x0404, "en"), (0x0409, "en"), (0x7FFF, "en")):
        asked = system_language(
            {"LANG": "fr_FR.UTF-8"}, "win32", windows=lambda number=number: windows_languages(lambda: number)
        )
        assert asked == language
    assert system_language({"LANG": "zh_CN"}, "win32", windows=lambda: ["en_US"]) == "en"
    assert system_language({"LANGUAGE": "zh_CN"}, "win32", windows=lambda: ["en_US"]) == "zh_CN"


@pytest.mark.parametrize("form", [plistlib.FMT_BINARY, plistlib.FMT_XML])
def test_macos_uses_the_preferences(tmp_path, form):
    path = tmp_path / "preferences.plist"
    path.write_bytes(plistlib.dumps({"AppleLanguages": ["zh-Hans-CN", "en-CN"]}, fmt=form))
    assert mac_languages(path) == ["zh-Hans-CN", "en-CN"]
    assert system_language({"LANG": "en_US.UTF-8"}, "darwin", mac=lambda: mac_languages(path)) == "zh_CN"


@pytest.mark.parametrize(
    "content",
    [
        *(plistlib.dumps(odd) for odd in ({}, [], {"AppleLanguages": "zh"}, {"AppleLanguages": [3]})),
        b"nonsense",
        b"bplist00broken",
        b"<?xml version='1.0'?><plist><dict>",
        b"",
        None,
    ],
)
def test_malformed_macos_preferences_are_ignored(tmp_path, content):
    path = tmp_path / "preferences.plist"
    if content is not None:
        path.write_bytes(content)
    assert mac_languages(path) == []


# --- texts for states and errors of the engine


ALL_ERRORS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.Era5Error)]


def all_status_texts() -> list[str]:
    """All texts of the tables in the current language."""
    said: list[str] = []
    for state in State:
        said += status_text.state(state)
    for outcome in Outcome:
        said += status_text.outcome(outcome)
    for file_state in FileState:
        said += (*status_text.file_state(file_state), *status_text.file_state(file_state, proving=True))
    for standing in SessionStatus:
        said += status_text.session_status(standing)
    for reason in (planner.plan.NOT_YET_PUBLISHED, planner.plan.ABSENT, "something new"):
        said += status_text.missing_file(reason)
    for product in products():
        said += catalog_text.product(product)
    for kind in ALL_ERRORS:
        explanation = error_text.explain(kind)
        said += (explanation.sentence, explanation.hint)
    return said + [catalog_text.cadence(cadence) for cadence in Cadence]


def test_every_state_and_error_has_a_text_in_both_languages():
    english = all_status_texts()
    switch("zh_CN")
    chinese = all_status_texts()
    assert all(english)
    assert [said for said in english if CHINESE.search(said)] == []
    assert [said for said in chinese if not CHINESE.search(said)] == []


@pytest.mark.parametrize("kind", ALL_ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_has_a_sentence_of_its_own_and_a_hint(kind):
    said = error_text.explain(kind)
    assert said.sentence.endswith(".")
    assert said.hint.endswith(".")
    assert "--" not in said.hint, "the window has no options"
    assert kind in error_text._ERRORS
    assert [other for other in ALL_ERRORS if error_text.explain(other).sentence == said.sentence] == [kind]
    assert error_text.explain(kind.__name__) == said


def test_errors_are_explained_by_their_class():
    class NewKind(errors.DiskFull):
        """Not in the table."""

    assert error_text.explain(errors.DiskFull("no room for /data/x")) == error_text.explain(errors.DiskFull)
    assert error_text.explain(NewKind("x")) == error_text.explain(errors.DiskFull)
    assert error_text.explain("NeverHeardOf") == error_text.explain(errors.Era5Error)


@pytest.mark.parametrize("kind", ALL_ERRORS, ids=lambda kind: kind.__name__)
def test_the_reason_of_an_event_is_explained_by_its_kind(kind):
    switch("zh_CN")
    said = error_text.explain_reason(kind("in English").kind, "in English", "Do this.")
    assert CHINESE.search(said.sentence) and CHINESE.search(said.hint)
    assert "English" not in said.sentence


@pytest.mark.parametrize("kind", ["", "NeverHeardOf"])
def test_an_unknown_kind_keeps_the_english_reason(kind):
    switch("zh_CN")
    assert error_text.explain_reason(kind, "in English", "Do this.") == error_text.Explanation("in English", "Do this.")


def test_names_of_states_are_distinct():
    for language in i18n.LANGUAGES:
        switch(language)
        for name, kinds in (
            (status_text.state, State),
            (status_text.file_state, FileState),
            (status_text.session_status, SessionStatus),
        ):
            assert len({name(kind).name for kind in kinds}) == len(kinds)
        assert len({catalog_text.product(product).name for product in products()}) == 8


def test_reasons_why_a_file_is_not_verified():
    from era5dl.engine.prepare import NO_MD5

    assert status_text.not_verified_reason(NO_MD5) == "The server's ETag is not an MD5."
    assert status_text.not_verified_reason(f"{NO_MD5}; it is not an HDF5 file").endswith(
        "MD5. Problem in the file: it is not an HDF5 file"
    )
    assert status_text.not_verified_reason("a new reason") == "a new reason"
    switch("zh_CN")
    assert CHINESE.search(status_text.not_verified_reason(NO_MD5))


def test_presets_have_translated_descriptions():
    assert catalog_text.preset(find_preset("fuxi")).name == "FuXi"
    switch("zh_CN")
    assert catalog_text.preset(find_preset("fuxi")).name == "伏羲（FuXi）"
    assert all(CHINESE.search(catalog_text.preset(preset).hint) for preset in presets())


def test_durations():
    assert [status_text.duration(s) for s in (-3, 42.4, 3723, 86399.6, 90000)] == [
        "0:00",
        "0:42",
        "1:02:03",
        "1 day 00:00:00",
        "1 day 01:00:00",
    ]
    assert status_text.duration(3600.4) == text.format_duration(3600.4)
    switch("zh_CN")
    assert status_text.duration(3 * 86400 + 4 * 3600 + 5 * 60 + 6) == "3 天 04:05:06"


def test_the_empty_text_stays_empty_in_every_language():
    for code in (i18n.ENGLISH, "zh_CN"):
        assert i18n.translate("", language=code) == ""
