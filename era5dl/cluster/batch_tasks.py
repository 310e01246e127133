"""Task numbers of batch systems: which blocks a process has to download, from the variables that they set.

SLURM, PBS, LSF and Grid Engine number the tasks of an array; `srun` and MPI launchers number the processes of a job.
"""

from __future__ import annotations

from collections.abc import Mapping

from era5dl.errors import UsageError
from era5dl.locks.owner import NO_GRANT, Grant

ARRAY_VARIABLES = ("SLURM_ARRAY_TASK_ID", "PBS_ARRAY_INDEX", "PBS_ARRAYID", "LSB_JOBINDEX", "SGE_TASK_ID")
_SHARES = (("SLURM_PROCID", "SLURM_NTASKS"), ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"), ("PMI_RANK", "PMI_SIZE"))


def parse_share(text: str) -> tuple[int, int]:
    """Return (share, shares) of a text such as "3/8", the third of eight shares. Raises UsageError."""
    number, slash, total = text.partition("/")
    if slash and number.isdecimal() and total.isdecimal() and len(text) < 16 and 1 <= int(number) <= int(total):
        return int(number), int(total)
    raise UsageError(f"{text!r} is not a share.", remedy="Use for example 3/8: the third of eight shares.")


def blocks_of_task(count: int, environment: Mapping[str, str], block: int | None = None, share: str = "") -> list[int]:
    """Return the numbers of the blocks to download, of `count` blocks numbered from 0.

    block, share: what the user chose. Without a choice, the task of an array has the block with its number, a process
    of a parallel job has its share, and any other program has all blocks; then blocks of others are passed over.
    Raises UsageError for a block that does not exist.
    """
    if block is None and not share:
        numbers = [environment[name] for name in ARRAY_VARIABLES if environment.get(name, "").isdecimal()]
        if numbers:
            block = int(numbers[0])
    if block is not None:
        if not 0 <= block < count:
            raise UsageError(f"There is no block {block}.", remedy=f"The blocks are 0 to {count - 1}.")
        return [block]
    if share:
        number, total = parse_share(share)
        return list(range(number - 1, count, total))
    for rank, size in _SHARES:
        if environment.get(rank, "").isdecimal() and environment.get(size, "").isdecimal():
            return list(range(int(environment[rank]), count, max(int(environment[size]), 1)))
    return list(range(count))


def grant_of_task(run: str, block: int, environment: Mapping[str, str]) -> Grant:
    """Return the grant of the task of a SLURM array: its name, and how often SLURM has started it again.

    Other batch systems do not say that, so what they start again waits until the lock of a dead computer is stale.
    """
    job = environment.get("SLURM_ARRAY_JOB_ID") or environment.get("SLURM_JOB_ID", "")
    if not job:
        return NO_GRANT
    task = environment.get("SLURM_ARRAY_TASK_ID") or environment.get("SLURM_PROCID", "")
    cluster = environment.get("SLURM_CLUSTER_NAME", "")
    restarts = environment.get("SLURM_RESTART_COUNT", "0")
    name = f"slurm:{cluster}:{job}_{task}:{run}:{block}"
    return Grant(name[:255], int(restarts) if restarts.isdecimal() and len(restarts) < 9 else 0)
