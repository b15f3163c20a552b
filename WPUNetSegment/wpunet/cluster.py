"""Many CTs on many machines: the workers of a Dask scheduler, each with one network, on a shared file system.

The cases of a worker that is lost are done again by another one; since every file is written whole or not at all and
bears the case's own name, each case is there once.
"""

from __future__ import annotations

import logging
import threading
import uuid
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from functools import lru_cache
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any

from .batch import Ending, Job, attempt
from .errors import Cancelled, InputError
from .monitor import Monitor
from .summary import FAILED, Row

if TYPE_CHECKING:
    from .progress import Cancel
    from .segment import Options, Segmenter

SECONDS = 30  # for the scheduler to answer, and for the first worker to be there
Network = tuple[str | None, str, int | None]  # weights, device, threads

_one_at_a_time = threading.Lock()  # in each worker, however many threads it has: a CT fills memory and processor


def endings(
    arguments: Namespace, jobs: Sequence[Job], options: Options, cancel: Cancel
) -> Iterator[tuple[Job, Ending]]:
    """Each job with its ending, as the workers finish; raises InputError when there is no scheduler or no worker."""
    network = (str(arguments.weights.resolve()) if arguments.weights else None, arguments.device, arguments.threads)
    with _client(arguments.scheduler) as client:
        from distributed import as_completed

        run = uuid.uuid4().hex[:8]
        futures = {
            client.submit(_work, _absolute(job), options, network, key=f"wpunet-{run}-{number}", pure=False): job
            for number, job in enumerate(jobs)
        }
        with client.as_current():
            finished = as_completed(list(futures))
        while finished.count():
            if cancel():
                client.cancel(list(futures))
                raise Cancelled("Cancelled.")
            for future in finished.next_batch(block=False):
                if future.status in ("lost", "pending") and client.status == "running":
                    finished.add(future)  # its worker died before the answer was fetched: it is being done again
                    continue
                job = futures.pop(future)
                yield job, _ending(job, future)
            sleep(0.05)


def _client(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError as error:
        raise InputError("--scheduler needs Dask's scheduler: pip install distributed") from error
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters is told in words of ours
    try:
        client = Client(address, timeout=SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(f"No Dask scheduler answers at {address}; start one with 'dask scheduler'.") from error
    try:
        client.wait_for_workers(1, timeout=SECONDS)
    except TimeoutError as error:
        client.close()
        raise InputError(f"The scheduler at {address} has no worker; start some with 'dask worker'.") from error
    return client


def _absolute(job: Job) -> Job:
    """The job as a worker, which has a working directory of its own, can do it."""
    values = {one.name: getattr(job, one.name) for one in fields(job)}
    paths: dict[str, Any] = {name: value.absolute() for name, value in values.items() if isinstance(value, Path)}
    return replace(job, **paths)


def _ending(job: Job, future: Any) -> Ending:
    if future.status == "finished":
        ending: Ending = future.result()
        return replace(ending, row=replace(ending.row, output=str(job.labels) if ending.row.output else ""))
    error = future.exception() if future.status == "error" else None
    reason = f"its workers were lost again and again ({type(error).__name__})" if error else "the scheduler was lost"
    return Ending(Row(job.name, FAILED, f"{job.name}: {reason}; run it again.", lost=True))


def _work(job: Job, options: Options, network: Network) -> Ending:
    """Runs in a worker."""
    with _one_at_a_time:
        return attempt(job, _segmenter(network), options, Monitor())


@lru_cache(maxsize=1)
def _segmenter(network: Network) -> Segmenter:
    from .segment import Segmenter

    return Segmenter(*network)
