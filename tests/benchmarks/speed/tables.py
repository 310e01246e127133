"""Tables of the speed benchmarks in Markdown: all figures, and the ratios that show who is faster."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

Record = dict[str, Any]


def report(records: list[Record], about: str) -> str:
    """Return Markdown: the ratios for the README, then one table per workload."""
    if not records:
        return "nothing was measured\n"
    works = list(dict.fromkeys(record["work"] for record in records))
    groups = {work: [record for record in records if record["work"] == work] for work in works}
    tables = [ratios(groups)] + [table(group) for group in groups.values()]
    return f"{about}\n\n" + "\n".join(tables)


def ratios(groups: dict[str, list[Record]]) -> str:
    """Return one line per workload. A ratio above 1 means that era5dl is faster."""
    lines = [
        "| workload | era5dl | best peer (none proves) | ahead | ahead, no proof | CPU of best Python peer | RSS |",
        "|---|--:|---|--:|--:|--:|--:|",
    ]
    for work, group in groups.items():
        seconds, cpu = medians(group, "seconds"), medians(group, "cpu")
        peers = [name for name in seconds if not name.startswith("era5dl")]
        ours, bare = seconds.get("era5dl"), seconds.get("era5dl --no-verify")
        if not peers or ours is None:
            continue
        best = min(peers, key=lambda name: seconds[name])
        pythons = {record["client"] for record in group if record["python"]}
        frugal = min((cpu[name] for name in pythons), default=None)
        rss = max(record["rss"] for record in group if record["client"] == "era5dl")
        own = cpu.get("era5dl --no-verify", cpu["era5dl"])
        cells = [
            f"{work}: {group[0]['what']}",
            f"{ours:.2f} s",
            f"{best}, {seconds[best]:.2f} s",
            f"{seconds[best] / ours:.2f} x",
            f"{seconds[best] / bare:.2f} x" if bare else "-",
            f"{own / frugal:.2f} x" if frugal else "-",
            f"{rss / 1e6:.0f} MB",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def table(group: list[Record]) -> str:
    """Return the table of all clients for one workload, the fastest first."""
    seconds = medians(group, "seconds")
    best = min((value for name, value in seconds.items() if not name.startswith("era5dl")), default=None)
    size = group[0]["bytes"] / 1e9
    lines = [
        f"### {group[0]['work']}: {group[0]['what']}, {size:.2f} GB, server {group[0]['server']}\n",
        "| client | s, median (min to max) | MB/s | x best peer | CPU s/GB | server CPU s/GB | RSS MB | noise |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name in sorted(seconds, key=lambda name: seconds[name]):
        runs = [record for record in group if record["client"] == name]
        taken = [record["seconds"] for record in runs]
        cells = [
            name + (" (proves)" if runs[0]["proves"] else ""),
            f"{seconds[name]:.2f} ({min(taken):.2f} to {max(taken):.2f})",
            f"{1000 * size / seconds[name]:.0f}",
            f"{seconds[name] / best:.2f}" if best else "-",
            f"{_median(runs, 'cpu') / size:.2f}",
            f"{_median(runs, 'server_cpu') / size:.2f}",
            f"{max(record['rss'] for record in runs) / 1e6:.0f}",
            f"{_median(runs, 'noise'):.2f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def medians(group: list[Record], figure: str) -> dict[str, float]:
    """Return the medians of one metric, by client."""
    names = dict.fromkeys(record["client"] for record in group)
    return {name: _median((r for r in group if r["client"] == name), figure) for name in names}


def _median(runs: Iterable[Record], figure: str) -> float:
    return float(statistics.median(record[figure] for record in runs))
