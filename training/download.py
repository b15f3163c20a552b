"""Fetch KiTS19 or KiTS23: python -m training.download --output data/kits19 --accept-licence [--dataset kits23]

Masks come from the challenge's repository, images from where its own script fetches them. KiTS23 has 489 patients, most
of KiTS19's among them, and marks cysts. Goes on where it stopped,
tries again when a connection drops, checks what the services publish (git hash, MD5) and that each file can be read.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import requests
from tqdm import tqdm
from wpunet import files, outputs
from wpunet.errors import InputError, WpunetError

from training.command import command

LICENCE = """KiTS19 and KiTS23 (Heller et al., The KiTS19 Challenge Data, arXiv 1904.00445; Med Image Anal
2021;67:101821; The KiTS21 Challenge, arXiv 2307.01984) are published under CC BY-NC-SA 4.0: credit their authors, no
commercial use, and what you derive from them, trained weights included, under the same licence. Say --accept-licence to
go on."""
CHUNK, TIMEOUT_S = 1 << 14, 30  # a dropped connection loses less than a chunk


class DownloadError(WpunetError):
    """A file cannot be fetched; the message says which, why, and what to do."""


@dataclass(frozen=True)
class Service:
    """Where files are, and how patient to be.

    images, masks: addresses by ``case``; mask_hashes: GitHub's list of the repository that has the masks in ``folder``
    cases: those with masks
    """

    images: str
    masks: str
    mask_hashes: str
    folder: str = "data"
    cases: str = ""
    tries: int = 8
    wait_s: float = 2.0


SERVICES = {
    "kits19": Service(
        "https://kits19.sfo2.digitaloceanspaces.com/master_{case:05}.nii.gz",
        "https://raw.githubusercontent.com/neheller/kits19/master/data/case_{case:05}/segmentation.nii.gz",
        "https://api.github.com/repos/neheller/kits19/git/trees/master?recursive=1",
        cases="0-209",
    ),
    "kits23": Service(
        "https://huggingface.co/datasets/neheller/KiTS-Challenge-Imaging/resolve/main/images/case_{case:05}.nii.gz",
        "https://raw.githubusercontent.com/neheller/kits23/main/dataset/case_{case:05}/segmentation.nii.gz",
        "https://api.github.com/repos/neheller/kits23/git/trees/main?recursive=1",
        folder="dataset",
        cases="0-299,400-588",
    ),
}


def fetch(url: str, path: Path, service: Service, git_hash: str | None = None) -> None:
    """Fetch a file to ``path``, whole and checked, going on with what is there of it in ``partial-<name>``.

    Raises DownloadError after ``service.tries`` tries in a row that brought nothing new, or as many broken files.
    """
    partial = path.with_name("partial-" + path.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    failures, broken, reason = 0, 0, ""
    while max(failures, broken) < service.tries:
        if failures or broken:
            time.sleep(min(60.0, service.wait_s * 2 ** (max(failures, broken) - 1)))
        before = _size(partial)
        try:
            etag = _continue(url, partial)
            _verify(partial, etag, git_hash)
        except _BrokenError as error:  # all is there but wrong: begin anew
            partial.unlink(missing_ok=True)
            broken, reason = broken + 1, str(error)
        except requests.RequestException as error:
            status = error.response.status_code if error.response is not None else 0
            if 400 <= status < 500 and status not in (408, 416, 429):
                raise DownloadError(f"{url} cannot be fetched (status {status}); check the address.") from error
            if status == 416:  # there is nothing beyond what we have, and it was not whole
                partial.unlink(missing_ok=True)
            failures = 1 if _size(partial) > before else failures + 1
            reason = " ".join(str(error).split())[:160]
        except OSError as error:
            raise DownloadError(f"{path} cannot be written ({error}); make room and start again.") from error
        else:
            outputs.take_place(partial, path)
            return
    raise DownloadError(f"{url} cannot be fetched ({reason}); start again later: it goes on where it stopped.")


class _BrokenError(Exception):
    """What came is not what was sent."""


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _continue(url: str, partial: Path) -> str:
    """Append what is missing of ``url`` to ``partial``; returns the service's ETag."""
    have = _size(partial)
    headers = {"Range": f"bytes={have}-"} if have else {}
    headers["Accept-Encoding"] = "identity"
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as answer:
        answer.raise_for_status()
        resumed = answer.status_code == 206
        expected = int(answer.headers.get("Content-Length", -1)) + (have if resumed else 0)
        with partial.open("ab" if resumed else "wb") as file:
            for chunk in answer.iter_content(CHUNK):
                file.write(chunk)
        if "Content-Length" in answer.headers and _size(partial) < expected:
            raise requests.ConnectionError(f"the connection ended after {_size(partial)} of {expected} bytes")
        return answer.headers.get("ETag", "").strip('"')


def _verify(path: Path, etag: str, git_hash: str | None) -> None:
    content = path.read_bytes()
    if git_hash and hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() != git_hash:
        raise _BrokenError("the git hash is wrong")
    # An ETag of these lengths is a hash of the whole file; others are the service's own names for it.
    digest = {32: "md5", 64: "sha256"}.get(len(etag)) if set(etag) <= set("0123456789abcdef") else None
    if digest and hashlib.new(digest, content, usedforsecurity=False).hexdigest() != etag:
        raise _BrokenError(f"the {digest} is wrong")
    try:
        files.read(path)
    except InputError as error:
        raise _BrokenError("it is no NIfTI image") from error


def mask_hashes(service: Service) -> dict[str, str]:
    """Git hash of each mask by its path in the repository; {} where the service does not answer."""
    try:
        answer = requests.get(service.mask_hashes, timeout=TIMEOUT_S)
        answer.raise_for_status()
        return {entry["path"]: entry["sha"] for entry in answer.json()["tree"] if entry["type"] == "blob"}
    except (requests.RequestException, KeyError, ValueError):
        return {}


def missing_bytes(jobs: list[tuple[str, Path]]) -> int:
    """How much is still to come, as far as the services say."""
    total = 0
    for url, path in jobs:
        try:
            answer = requests.head(url, timeout=TIMEOUT_S, allow_redirects=True)
            total += int(answer.headers.get("Content-Length", 0)) if answer.ok else 0
        except requests.RequestException:
            continue
        total -= _size(path.with_name("partial-" + path.name))
    return max(0, total)


def download(output: Path, cases: list[int], service: Service, say: Callable[[str], None] = print) -> dict[int, str]:
    """Fetch cases into ``output`` in KiTS19's layout; returns what failed and why; DownloadError without room."""
    jobs: list[tuple[int, str, Path]] = []
    for case in cases:
        folder = output / f"case_{case:05}"
        jobs.append((case, service.masks.format(case=case), folder / "segmentation.nii.gz"))
        jobs.append((case, service.images.format(case=case), folder / "imaging.nii.gz"))
    jobs = [job for job in jobs if not job[2].exists()]
    if not jobs:
        return {}
    output.mkdir(parents=True, exist_ok=True)
    needed, free = missing_bytes([(url, path) for _, url, path in jobs]), shutil.disk_usage(output).free
    if needed * 1.02 > free:
        raise DownloadError(
            f"{output} has room for {free / 1e9:.1f} GB, but {needed / 1e9:.1f} GB are to come; choose another disk."
        )
    say(f"{len(jobs)} files, {needed / 1e9:.1f} GB to fetch into {output}")
    hashes = mask_hashes(service)
    if not hashes:
        say("the masks' hashes cannot be fetched now: masks are only checked to be readable")
    failed: dict[int, str] = {}
    for case, url, path in tqdm(jobs, unit="file", disable=not sys.stderr.isatty()):
        try:
            fetch(url, path, service, hashes.get(f"{service.folder}/{path.parent.name}/{path.name}"))
        except DownloadError as error:
            failed[case] = str(error)
            say(str(error))
    return failed


def numbers(text: str) -> list[int]:
    """``0-3,7`` -> [0, 1, 2, 3, 7]."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        if last and int(last) < int(first):
            raise ValueError(f"{part} holds no number")
        found += range(int(first), int(last or first) + 1)
    return found


@command("download")
def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = arguments.add_argument
    add("--output", type=Path, required=True)
    add("--dataset", choices=SERVICES, default="kits19")
    add("--cases", type=numbers, help="as 0-3,7; default: all with masks")
    add("--accept-licence", action="store_true", help="you have read the licence and agree")
    given = arguments.parse_args()
    if not given.accept_licence:
        print(LICENCE, file=sys.stderr)
        return 2
    service = SERVICES[given.dataset]
    cases = given.cases or numbers(service.cases)
    failed = download(given.output, cases, service)
    print(f"{len(cases) - len(failed)} of {len(cases)} cases are there; {len(failed)} have failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
