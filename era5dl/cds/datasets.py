"""Datasets of the Climate Data Store: which of them the bucket has, and why it does not have the others."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum

from era5dl.cds.request import Note

SINGLE_LEVELS = "reanalysis-era5-single-levels"
PRESSURE_LEVELS = "reanalysis-era5-pressure-levels"
COMPLETE = "reanalysis-era5-complete"
TIME_SERIES = "reanalysis-era5-single-levels-timeseries"
OK = Note("", "")
_STORE = "the Copernicus Climate Data Store"


class Family(Enum):
    """Where the variables of a dataset are."""

    SINGLE = "single levels"
    PRESSURE = "pressure levels"
    COMPLETE = "complete"  # pressure or single levels, as the MARS keys say
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset. refusal: why the bucket does not have it. note: what to know about it; both may be empty."""

    name: str
    family: Family
    refusal: Note = OK
    note: Note = OK


_SUPPORTED = {
    SINGLE_LEVELS: Family.SINGLE,
    PRESSURE_LEVELS: Family.PRESSURE,
    TIME_SERIES: Family.SINGLE,
    COMPLETE: Family.COMPLETE,
    "era5": Family.COMPLETE,  # its name in ECMWF's web API
}
_BACK_EXTENSION = "-preliminary-back-extension"


def find_dataset(name: str) -> Dataset:
    """Return the dataset with this name."""
    bare = name.strip().casefold()
    if bare.endswith(_BACK_EXTENSION) and bare.removesuffix(_BACK_EXTENSION) in _SUPPORTED:
        text = "The preliminary back extension has been replaced by the final ERA5, which this bucket has from 1940 on."
        return Dataset(name, _SUPPORTED[bare.removesuffix(_BACK_EXTENSION)], note=Note("back-extension", text))
    if bare in _SUPPORTED:
        return Dataset(name, _SUPPORTED[bare])
    return Dataset(name, Family.OTHER, refusal=_refusal(name, bare))


def _refusal(name: str, bare: str) -> Note:
    where = f"Take it from {_STORE}: {name}."
    if "era5-land" in bare:
        text = f"ERA5-Land is another dataset (0.1 degrees, land only), and not in this bucket. {where}"
        return Note("era5-land", text, {"dataset": name})
    if "monthly-means" in bare:
        text = f"Monthly means are not in this bucket, which has hourly data. {where} Or average the hourly data."
        return Note("monthly-means", text, {"dataset": name})
    if "daily-statistics" in bare:
        text = (
            f"Daily statistics are not in this bucket, which has hourly data. {where} Or compute them from hourly data."
        )
        return Note("daily-statistics", text, {"dataset": name})
    near = get_close_matches(bare, _SUPPORTED, n=1, cutoff=0.85)
    if near:
        text = f"There is no dataset {name}. Did you mean {near[0]}?"
        return Note("unknown-dataset", text, {"dataset": name, "near": near[0]})
    text = f"{name[:80]} is not hourly ERA5, and not in this bucket. Take it from {_STORE}, or from where it was found."
    return Note("other-dataset", text, {"dataset": name})


def refuse_product_types(types: list[str]) -> Note:
    """Return why none of these product types is in the bucket; an empty note if one is: the reanalysis."""
    if not types or "reanalysis" in types:
        return OK
    names = ", ".join(types)
    if any(one.startswith("ensemble") for one in types):
        text = f"The ensemble ({names}) is not in this bucket, which has the reanalysis (HRES). Take it from {_STORE}."
        return Note("ensemble", text, {"types": names})
    if any(one.startswith("monthly") for one in types):
        text = f"Monthly means ({names}) are not in this bucket, which has hourly data. Take them from {_STORE}, or"
        return Note("monthly-means", f"{text} average the hourly data.", {"types": names})
    text = f"There is no product type {names} in this bucket, only reanalysis. Take it from {_STORE}."
    return Note("product-type", text, {"types": names})


def refuse_mars(values: dict[str, str]) -> Note:
    """Return why the bucket does not have what these MARS keys ask for (levtype, stream, class, expver)."""
    if values.get("levtype") in ("ml", "model"):
        text = f"Model levels are not in this bucket, only 37 pressure levels. Take them from {_STORE}: {COMPLETE}."
        return Note("model-levels", text)
    if values.get("levtype") in ("pv", "pt"):
        text = f"Fields on {values['levtype']} levels are not in this bucket. Take them from {_STORE}: {COMPLETE}."
        return Note("levtype", text, {"levtype": values["levtype"]})
    stream = values.get("stream", "oper")
    if stream.startswith("en") or "ed" in stream[:2]:
        text = f"The ensemble (stream {stream}) is not in this bucket. Take it from {_STORE}: {COMPLETE}."
        return Note("ensemble", text, {"types": stream})
    if stream.startswith("mo"):
        return Note(
            "monthly-means", f"Monthly means (stream {stream}) are not in this bucket. Average the hourly data."
        )
    if stream.startswith("wa"):
        return Note(
            "waves", f"Ocean waves (stream {stream}) are not in this bucket. Take them from {_STORE}: {COMPLETE}."
        )
    if values.get("class", "ea") != "ea":
        text = f"Class {values['class']} is not ERA5 (class ea), and not in this bucket. Take it from ECMWF."
        return Note("other-dataset", text, {"dataset": f"class {values['class']}"})
    return OK
