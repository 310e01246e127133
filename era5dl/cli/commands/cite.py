"""Command `cite`: prints how to cite the data in a folder. It sends no requests."""

from __future__ import annotations

import argparse
import json

from era5dl.archive.citation import cite_folder, to_bibtex, to_json, to_text
from era5dl.cli.exit_codes import ExitCode
from era5dl.cli.interrupts import Interrupts
from era5dl.cli.output import Output


def cite(arguments: argparse.Namespace, output: Output, interrupts: Interrupts) -> int:
    """Print the citation as text, BibTeX or JSON."""
    stopped = interrupts.requested.is_set
    citation = interrupts.run_in_background(lambda: cite_folder(arguments.folder, stopped))
    output.record("citation", **to_json(citation), text=to_text(citation), bibtex=to_bibtex(citation))
    if arguments.format == "json":
        output.results(json.dumps(to_json(citation), indent=2).splitlines())
    else:
        text = to_bibtex(citation) if arguments.format == "bibtex" else to_text(citation)
        output.results(text.splitlines())
    return ExitCode.OK
