"""Citation of the data in an archive: references with DOI, the licence, and when the data were fetched.

Sources: the entry of the bucket in the Registry of Open Data on AWS (S1 in the catalogue's sources), and ECMWF's page
on how to cite ERA5 (https://confluence.ecmwf.int/display/CKB/How+to+acknowledge+and+cite+a+Climate+Data+Store+entry).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from era5dl import __version__
from era5dl.archive.scan import Scan, scan_folder
from era5dl.catalog import Cadence
from era5dl.errors import UsageError
from era5dl.formatting import format_count

LICENCE = "Creative Commons Attribution 4.0 International (CC BY 4.0), https://creativecommons.org/licenses/by/4.0/"
TERMS = "https://www.ucar.edu/terms-of-use/data"
_BUCKET = "nsf-ncar-era5"
_AUTHORS = (
    ("Hersbach", "H."), ("Bell", "B."), ("Berrisford", "P."), ("Biavati", "G."), ("Horányi", "A."),
    ("Muñoz Sabater", "J."), ("Nicolas", "J."), ("Peubey", "C."), ("Radu", "R."), ("Rozum", "I."),
    ("Schepers", "D."), ("Simmons", "A."), ("Soci", "C."), ("Dee", "D."), ("Thépaut", "J-N."),
)  # fmt: skip
_CDS = "Copernicus Climate Change Service (C3S) Climate Data Store (CDS)"
_NCAR = (
    "Research Data Archive at the National Center for Atmospheric Research, "
    "Computational and Information Systems Laboratory"
)
_LATEX = {"á": r"{\'a}", "ñ": r"{\~n}", "é": r"{\'e}"}
_MOST_VARIABLES = 12  # that are named in the text


@dataclass(frozen=True, slots=True)
class Reference:
    """One reference. id: of its BibTeX entry. authors: (family name, initials), or one organization without initials.

    kind: "article" or "misc". where: publisher or journal with volume and pages.
    """

    id: str
    kind: str
    authors: tuple[tuple[str, str], ...]
    year: str
    title: str
    where: str
    doi: str
    note: str = ""

    @property
    def url(self) -> str:
        return f"https://doi.org/{self.doi}"


@dataclass(frozen=True, slots=True)
class Citation:
    """What a paper has to say about the data of an archive.

    variables: full and long names. first, last: days of the data; None if they do not depend on time. accessed: first
    and last day on which sessions have fetched data; None if no session is known. sources: buckets and servers.
    """

    folder: Path
    files: int
    variables: tuple[tuple[str, str], ...]
    first: date | None
    last: date | None
    accessed: tuple[date, date] | None
    sources: tuple[str, ...]
    references: tuple[Reference, ...]

    @property
    def acknowledgement(self) -> str:
        """The sentence that Copernicus asks for."""
        year = self.accessed[1].year if self.accessed else time.gmtime().tm_year
        return (
            f"Contains modified Copernicus Climate Change Service information {year}. Neither the European Commission "
            "nor ECMWF is responsible for any use that may be made of the Copernicus information or data it contains."
        )


def cite_folder(folder: Path, stopped: Callable[[], bool] = lambda: False) -> Citation:
    """Return the citation for the ERA5 files in a folder.

    Raises UsageError if there are none, FolderUnusable, Stopped.
    """
    scan = scan_folder(folder, stopped)
    if not scan.files:
        raise UsageError(f"There are no ERA5 files in {scan.folder}.", remedy="Give the folder of an archive.")
    accessed = _access_days(scan)
    timed = [file for file in scan.files if file.parts.product.cadence is not Cadence.FIXED]
    variables = {file.variable.name: file.variable.long_name for file in scan.files if file.variable}
    has_levels = any(file.parts.product.levels_hpa for file in scan.files)
    has_single = any(not file.parts.product.levels_hpa for file in scan.files)
    return Citation(
        folder=scan.folder,
        files=len(scan.files),
        variables=tuple(variables.items()),
        first=min((file.start.date() for file in timed), default=None),
        last=max((file.end.date() for file in timed), default=None),
        accessed=accessed,
        sources=tuple(_sources(scan)),
        references=tuple(_references(accessed, has_single=has_single, has_levels=has_levels)),
    )


def to_text(citation: Citation) -> str:
    """Return the citation for people."""
    names = [f"{long_name} ({name})" for name, long_name in citation.variables]
    more = len(names) - _MOST_VARIABLES
    listed = ", ".join(names[:_MOST_VARIABLES]) + (f" and {more} more" if more > 0 else "")
    period = f", {citation.first} to {citation.last}" if citation.first else ""
    lines = [
        "Data",
        f"ERA5 reanalysis, 0.25 degrees: {listed}{period}; {format_count(citation.files, 'file')} from "
        f"{', '.join(citation.sources)}{_accessed(citation.accessed, ', accessed ')}. "
        f"Downloaded with era5dl {__version__}.",
        "",
        "References",
        *[_reference_text(reference) for reference in citation.references],
        "",
        "Acknowledgement",
        citation.acknowledgement,
        "",
        "Licence",
        f"ERA5: {LICENCE}. NSF NCAR's copy: {TERMS}.",
    ]
    return "\n".join(lines) + "\n"


def to_bibtex(citation: Citation) -> str:
    """Return the references as BibTeX entries, in ASCII, which every version of BibTeX reads."""
    return "\n".join(_bibtex_entry(reference) for reference in citation.references)


def to_json(citation: Citation) -> dict[str, Any]:
    """Return the citation in a JSON-able form."""
    return {
        "folder": str(citation.folder),
        "files": citation.files,
        "variables": [{"variable": name, "long_name": long_name} for name, long_name in citation.variables],
        "first": citation.first.isoformat() if citation.first else None,
        "last": citation.last.isoformat() if citation.last else None,
        "accessed": [day.isoformat() for day in citation.accessed] if citation.accessed else None,
        "sources": list(citation.sources),
        "references": [
            {
                "id": one.id,
                "authors": [" ".join(filter(None, (initials, family))) for family, initials in one.authors],
                "year": one.year,
                "title": one.title,
                "where": one.where,
                "doi": one.doi,
                "note": one.note,
            }
            for one in citation.references
        ],
        "acknowledgement": citation.acknowledgement,
        "licence": LICENCE,
        "terms": TERMS,
    }


def _access_days(scan: Scan) -> tuple[date, date] | None:
    sessions = scan.records.sessions
    if not sessions:
        return None
    first, last = min(one.created for one in sessions), max(one.updated for one in sessions)
    return date(*time.gmtime(first)[:3]), date(*time.gmtime(last)[:3])


def _sources(scan: Scan) -> Iterator[str]:
    """Yield where the sessions have fetched from."""
    places = {(info.bucket, info.endpoint_url) for info in scan.records.infos.values()} or {(_BUCKET, None)}
    for bucket, endpoint in sorted(places, key=str):
        name = f"s3://{bucket}" + (f" at {endpoint}" if endpoint else "")
        yield f"NSF NCAR's copy of ERA5 ({name})" if bucket == _BUCKET and not endpoint else name


def _references(accessed: tuple[date, date] | None, *, has_single: bool, has_levels: bool) -> Iterator[Reference]:
    note = _accessed(accessed, "Accessed ")
    yield Reference(
        "era5_ncar",
        "misc",
        (("European Centre for Medium-Range Weather Forecasts", ""),),
        "2019, updated monthly",
        "ERA5 Reanalysis (0.25 Degree Latitude-Longitude Grid)",
        _NCAR,
        "10.5065/BH6N-5N20",
        note,
    )
    if has_single:
        title = "ERA5 hourly data on single levels from 1940 to present"
        yield Reference("era5_single_levels", "misc", _AUTHORS, "2023", title, _CDS, "10.24381/cds.adbb2d47")
    if has_levels:
        title = "ERA5 hourly data on pressure levels from 1940 to present"
        yield Reference("era5_pressure_levels", "misc", _AUTHORS, "2023", title, _CDS, "10.24381/cds.bd0915c6")
    yield Reference(
        "era5_paper",
        "article",
        (("Hersbach", "H."), ("Bell", "B."), ("Berrisford", "P."), ("others", "")),
        "2020",
        "The ERA5 global reanalysis",
        "Quarterly Journal of the Royal Meteorological Society, 146(730), 1999-2049",
        "10.1002/qj.3803",
    )


def _accessed(days: tuple[date, date] | None, front: str) -> str:
    if days is None:
        return ""
    return front + (f"{days[0]}" if days[0] == days[1] else f"{days[0]} to {days[1]}")


def _reference_text(one: Reference) -> str:
    authors = ", ".join(f"{family}, {initials}" if initials else _et_al(family) for family, initials in one.authors)
    note = f" {one.note}." if one.note else ""
    return f"- {authors} ({one.year}): {one.title}. {one.where}. {one.url}.{note}"


def _et_al(name: str) -> str:
    return "et al." if name == "others" else name


def _bibtex_entry(one: Reference) -> str:
    authors = " and ".join(
        f"{family}, {initials}" if initials else ("others" if family == "others" else f"{{{family}}}")
        for family, initials in one.authors
    )
    year = one.year[:4]
    note = ". ".join(part for part in (one.year[4:].strip(", ").capitalize(), one.note) if part)
    if one.kind == "article":
        journal, volume, pages = one.where.split(", ")
        number = volume.partition("(")
        place = {
            "journal": journal,
            "volume": number[0],
            "number": number[2].rstrip(")"),
            "pages": pages.replace("-", "--"),
        }
    else:
        place = {"publisher": one.where}
    fields = {"author": authors, "title": f"{{{one.title}}}", "year": year, **place, "doi": one.doi, "url": one.url}
    if note:
        fields["note"] = note
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
    return _latex("\n".join([f"@{one.kind}{{{one.id},", *lines, "}"])) + "\n"


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)
