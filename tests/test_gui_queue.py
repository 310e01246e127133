"""Tests of the queue model: sorting, search, filters, errors of files, and its speed with 100,000 rows."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from era5dl.bucket.interface import ObjectInfo
from era5dl.engine.events import FileDone, FileFailed, FileRetrying, Outcome
from era5dl.engine.progress import ActiveFile, FileState
from era5dl.gui.models.queue import FileFilter, QueueModel
from era5dl.gui.models.queue_rows import GroupRow
from era5dl.gui.models.sort_filter import MaskedIndices, RowOrder, SortKey
from tests.test_diagnosis_metrics import RUN


def model_of(count: int = 6) -> QueueModel:
    model = QueueModel()
    model.load(
        [
            ObjectInfo(f"p/e5.{count - i}.{'even' if i % 2 == 0 else 'odd'}.nc", 100 * (i + 1), '"e"')
            for i in range(count)
        ]
    )
    return model


def set_states(model: QueueModel, *states: FileState) -> None:
    model.update(None, bytes(states), time.monotonic() + 1e6)


def shown(model: QueueModel) -> list[int]:
    return [model.index_at(position) for position in range(len(model))]


W, A, V, C, X, H, P = FileState


def test_active_files_come_first_and_filters_count_files() -> None:
    model = model_of()
    set_states(model, V, W, A, X, C, W)
    assert shown(model) == [2, 3, 1, 5, 0, 4]
    assert list(model.counts().values()) == [6, 1, 2, 0, 2, 1]
    assert list(model.counts()) == list(FileFilter)
    done, failed, waiting, active = FileFilter.DONE, FileFilter.FAILED, FileFilter.WAITING, FileFilter.ACTIVE
    for one, expected in ((done, [0, 4]), (failed, [3]), (waiting, [1, 5]), (active, [2])):
        model.filter(one)
        assert shown(model) == expected
        assert [model.position_of(index) for index in expected] == list(range(len(expected)))
        assert model.position_of(99) is None


def test_held_files_come_after_waiting_ones() -> None:
    model = model_of()
    set_states(model, V, H, A, X, H, W)
    assert shown(model) == [2, 3, 5, 1, 4, 0]
    assert model.counts()[FileFilter.HELD] == 2
    assert model.in_states(range(5), W, H) == [1, 4]
    model.filter(FileFilter.HELD)
    assert shown(model) == [1, 4]


def test_search_sort_and_filter_work_together() -> None:
    model = model_of()
    set_states(model, V, W, A, X, C, W)
    model.search("EVEN p/")
    assert shown(model) == [2, 0, 4]
    model.sort(SortKey.SIZE, descending=True)
    assert shown(model) == [4, 2, 0]
    model.sort(SortKey.KEY)
    assert shown(model) == [4, 2, 0]
    model.filter(FileFilter.DONE)
    assert shown(model) == [4, 0]
    model.search("")
    model.filter(FileFilter.ALL)
    assert shown(model) == [5, 4, 3, 2, 1, 0]
    model.sort(SortKey.STATUS)
    assert shown(model) == [1, 5, 2, 0, 4, 3]


def test_rows_without_a_value_stay_in_the_order_of_the_plan() -> None:
    model = model_of()
    active = [ActiveFile(1, "k", 200, 20, 9.0, 1, False), ActiveFile(4, "k", 500, 400, 5.0, 1, False)]
    model.update(replace(RUN, active=tuple(active)), bytes([V, A, W, X, A, W]), time.monotonic() + 1e6)
    model.sort(SortKey.SPEED)
    assert shown(model) == [0, 2, 3, 5, 4, 1]
    model.sort(SortKey.PROGRESS)
    assert shown(model) == [2, 3, 5, 1, 4, 0]
    model.sort(SortKey.PROGRESS, descending=True)
    assert shown(model) == [0, 4, 1, 5, 3, 2]
    assert [model.position_of(index) for index in shown(model)] == list(range(6))
    assert sorted(model.indices()) == list(range(6))


def test_masked_indices_and_row_order_work_over_many_blocks() -> None:
    mask = bytes(index % 7 == 0 or 3000 < index < 3100 for index in range(5000))
    plain = [index for index in range(5000) if mask[index]]
    masked = MaskedIndices(mask)
    assert [masked[position] for position in range(len(masked))] == plain == list(masked)
    assert [masked.index(index) for index in plain] == list(range(len(plain)))
    reversed_order = RowOrder([masked, [1, 2]], reverse=True)
    assert [reversed_order[position] for position in range(len(reversed_order))] == [2, 1, *reversed(plain)]
    assert (reversed_order.position_of(2), reversed_order.position_of(3)) == (0, None)


def test_a_row_has_the_attempts_and_the_error_of_its_file() -> None:
    model = model_of()
    model.handle_event(FileRetrying(1, "k", "broke", 1, 0.0))
    model.handle_event(FileFailed(1, "k", "gone", "wait", "NotFound"))
    model.handle_event(FileDone(2, "k", 300, "/x", Outcome.CHECKED, "opaque", False))
    set_states(model, W, X, C, W, W, W)
    failed, checked = model.file(1), model.file(2)
    assert (failed.attempts, failed.reason, failed.kind) == (2, "gone", "NotFound")
    assert (checked.share, checked.checked_because, checked.reason) == (1.0, "opaque", "")
    model.sort(SortKey.ATTEMPTS, descending=True)
    assert shown(model)[0] == 1
    assert model.failed() == [1]


def test_a_retry_of_some_files_leaves_the_others_failed() -> None:
    model = model_of()
    for index in (1, 3):
        model.handle_event(FileFailed(index, "k", "gone", "", "NotFound"))
    model.load_run(model.objects, Path("/x"), {}, only=frozenset({3}))
    set_states(model, V, W, V, A, V, V)
    assert model.failed() == [1]


def test_a_file_that_was_only_retried_is_not_failed() -> None:
    model = model_of()
    model.handle_event(FileRetrying(1, "k", "broke", 1, 0.0, "Interrupted"))
    model.load_run(model.objects, Path("/x"), {}, only=frozenset({3}))
    set_states(model, V, W, V, A, V, V)
    assert model.failed() == []


def of_era5() -> QueueModel:
    """Two variables, whose files are not in the order of their periods, an invariant, and a file not of ERA5."""
    surface = "e5.oper.an.sfc/{0}/e5.oper.an.sfc.128_167_2t.ll025sc.{0}0100_{0}{1}23.nc"
    keys = [
        surface.format("202103", 31),
        surface.format("202102", 28),
        "e5.oper.an.pl/202102/e5.oper.an.pl.128_130_t.ll025sc.2021020200_2021020223.nc",
        "e5.oper.an.pl/202102/e5.oper.an.pl.128_130_t.ll025sc.2021020100_2021020123.nc",
        "e5.oper.invariant/197901/e5.oper.invariant.128_172_lsm.ll025sc.1979010100_1979010100.nc",
        "notes/readme.nc",
    ]
    model = QueueModel()
    model.load([ObjectInfo(key, 100, '"e"') for key in keys])
    return model


def test_sizes_of_subsets_are_shown_and_sorted() -> None:
    model = of_era5()
    model.load(model.objects, {0: 7, 3: 5})
    model.sort(SortKey.SIZE)
    assert [model.file(index).size for index in shown(model)] == [5, 7, 100, 100, 100, 100]
    model.handle_event(FileDone(1, "k", 3, "/x", Outcome.CHECKED_PART, "", False))
    set_states(model, W, P, W, W, W, W)
    assert [model.file(index).size for index in shown(model)] == [3, 5, 7, 100, 100, 100]


def test_periods_are_sorted_by_date_and_variables_by_name_and_then_by_date() -> None:
    model = of_era5()
    model.sort(SortKey.PERIOD)
    assert shown(model) == [4, 3, 1, 2, 0, 5]
    model.sort(SortKey.VARIABLE)  # 2 m temperature, land-sea mask, temperature, others
    assert shown(model) == [1, 0, 4, 3, 2, 5]
    model.sort(SortKey.PRODUCT)
    assert shown(model) == [4, 3, 2, 1, 0, 5]


def test_the_search_finds_key_variable_and_period_in_both_languages() -> None:
    model = of_era5()
    found = {}
    for text in ("167_2t", "2 metre", "2 m temp", "2 米气温", "feb 2021", "1 Feb", "land mask", "readme", "t 202103"):
        model.search(text)
        found[text] = sorted(shown(model))
    assert found == {
        "167_2t": [0, 1],
        "2 metre": [0, 1],
        "2 m temp": [0, 1, 2, 3],  # "temp", with a "2" and an "m" in the key
        "2 米气温": [0, 1],
        "feb 2021": [1, 2, 3],
        "1 Feb": [1, 2, 3],
        "land mask": [4],
        "readme": [5],
        "t 202103": [0],
    }


def test_files_are_grouped_by_variable_below_headings() -> None:
    model = of_era5()
    model.group(True)
    set_states(model, V, W, A, X, C, W)
    assert shown(model) == [-2, 1, 0, -3, 3, 2, -4, 4, -1, 5]
    assert (len(model), model.files_shown, sorted(model.indices())) == (10, 6, list(range(6)))
    heading = model.row(0)
    assert isinstance(heading, GroupRow) and str(heading.known).startswith("2 m temperature")
    assert (heading.files, heading.done, heading.size) == (2, 1, 200)
    assert model.files_of([-2, 3, 1]) == [0, 1, 3]
    assert model.position_of(-3) == 3 and model.position_of(2) == 5
    model.filter(FileFilter.DONE)
    assert shown(model) == [-2, 0, -4, 4], "groups without a file that is shown have no heading"
    assert model.files_of([-2]) == [0], "what is done with a heading concerns the files below it"
    model.filter(FileFilter.ALL)
    model.sort(SortKey.SIZE)
    assert -2 not in shown(model)
    model.sort_as_usual()
    assert shown(model)[0] == -2
    model.load(())
    assert len(model) == 0


def test_a_hundred_thousand_files_are_grouped_and_searched_without_a_noticeable_pause() -> None:
    model, began = QueueModel(), time.process_time()
    model.group(True)
    front = "e5.oper.an.pl/{0}/e5.oper.an.pl.128_{1}.ll025sc.{0}{2:02}00_{0}{2:02}23.nc"
    months = [f"{year}{month:02}" for year in range(1950, 2010) for month in range(1, 13)]
    names = ("130_t", "129_z", "133_q", "131_u", "132_v")
    model.load(
        [
            ObjectInfo(front.format(month, name, day), 1, '"e"')
            for name in names
            for month in months
            for day in range(1, 29)
        ]
    )
    loaded = time.process_time() - began
    began = time.process_time()
    model.search("temperature 2001")
    searched = time.process_time() - began
    assert model.files_shown == 12 * 28
    model.search("")
    began = time.process_time()
    model.update(None, bytes([V] * 30_000 + [W] * 70_800), time.monotonic() + 1e6)
    model.row(0)
    updated = time.process_time() - began
    assert loaded < 3 and searched < 2 and updated < 0.3, (loaded, searched, updated)  # 0.5, 0.25, 0.02 s when idle


def test_a_hundred_thousand_rows_are_sorted_without_a_noticeable_pause() -> None:
    model = QueueModel()
    model.load([ObjectInfo(f"e5.oper.an.pl/2021/{i:06}.nc", i, '"e"') for i in range(100_000)])
    states = bytes([V] * 30_000 + [A] * 8 + [W] * 69_992)
    began = time.perf_counter()
    model.update(None, states, time.monotonic() + 1e6)
    assert time.perf_counter() - began < 0.2  # 10 ms on an idle machine
    assert shown(model)[:8] == list(range(30_000, 30_008))
