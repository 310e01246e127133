"""Tests of the error classes: the tree in the module's docstring, messages and remedies."""

from __future__ import annotations

import inspect
import pickle

import pytest

from era5dl import errors
from era5dl.errors import AmbiguousName, Era5Error, Reaction, ServerBusy, UnknownName, UsageError

CLASSES = {
    name: found
    for name, found in vars(errors).items()
    if inspect.isclass(found) and issubclass(found, Exception) and found.__module__ == errors.__name__
}


def drawn() -> list[tuple[str, str]]:
    """Return (class, parent) from the docstring, in its order. The parent of the root is ""."""
    above: list[str] = []
    found = []
    for line in (errors.__doc__ or "").splitlines():
        indent = len(line) - len(line.lstrip("│├└─ "))
        name = line[indent:].split(" ")[0]
        if indent or (name == "Era5Error" and line == name):
            above[indent // 4 :] = [name]
            found.append((name, above[-2] if len(above) > 1 else ""))
    return found


def test_the_docstring_shows_the_class_tree():
    real = [(name, kind.__base__.__name__ if kind is not Era5Error else "") for name, kind in CLASSES.items()]
    assert sorted(drawn()) == sorted(real)


def test_classes_are_defined_in_the_order_of_the_docstring():
    assert [name for name, _ in drawn()] == list(CLASSES)


@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES)
def test_every_error_has_a_message_and_a_reaction(kind: type[Era5Error]):
    assert "__doc__" in vars(kind)
    assert isinstance(kind.reaction, Reaction)
    assert (kind.__doc__ or "").splitlines()[0].endswith(".")
    assert str(kind("it broke")) == "it broke"
    assert kind("it broke").remedy == kind.remedy
    assert kind.remedy == "" or kind.remedy.endswith(".")
    assert isinstance(kind("it broke"), Era5Error)


def test_the_default_message_is_that_of_the_class():
    assert str(errors.NotFound()) == "There is no such object in the bucket."
    assert str(errors.Stopped()) == "Stopped by the user."


def test_a_specific_remedy_replaces_that_of_the_class():
    assert errors.DiskFull("full", remedy="Buy a disk.").remedy == "Buy a disk."
    assert errors.DiskFull.remedy != "Buy a disk."


def test_additional_attributes_are_kept():
    assert UnknownName("no", candidates=["a", "b"]).candidates == ("a", "b")
    assert AmbiguousName("two", candidates=["a", "b"], remedy="Choose.").remedy == "Choose."
    assert ServerBusy("busy", retry_after=7.0).retry_after == 7.0
    assert ServerBusy().retry_after is None


def test_no_network_error_is_a_usage_error():
    assert not any(issubclass(kind, UsageError) for kind in CLASSES.values() if issubclass(kind, errors.BucketError))


def test_errors_can_be_pickled():
    copy = pickle.loads(pickle.dumps(errors.DiskFull("full")))
    assert (type(copy), str(copy), copy.remedy) == (errors.DiskFull, "full", errors.DiskFull.remedy)
