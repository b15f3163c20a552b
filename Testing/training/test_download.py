"""Downloads against a server that drops connections, sends rubbish, knows no ranges or nothing at all."""

import hashlib
import json
import re
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import nibabel as nib
import numpy as np
import pytest
from isal import igzip

from Testing.conftest import no_file_over
from training import download
from training.download import DownloadError, Service, fetch


def nifti(seed):
    """A file of about 1.2 MB that does not compress."""
    array = np.random.default_rng(seed).integers(-30000, 30000, (64, 96, 96)).astype(np.int16)
    return igzip.compress(nib.Nifti1Image(array, np.eye(4)).to_bytes(), 2, mtime=0)


class Server(ThreadingHTTPServer):
    """Serves ``content`` by path; ``faults`` says for each path what goes wrong at its next requests.

    drop: the connection ends half-way; broken: a bit is flipped; whole: ranges are ignored; busy: status 503;
    unsure: no length is given.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.faults, self.asked, self.etags = {}, {}, [], {}

    def url(self, path):
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        server = self.server
        body = server.content.get(self.path)
        range_ = self.headers.get("Range")
        if self.command == "GET":
            server.asked.append((self.path, range_))
        faults = server.faults.get(self.path, [])
        fault = faults.pop(0) if faults and self.command == "GET" else ""
        if body is None or fault == "busy":
            self.send_error(404 if body is None else 503)
            return
        if "broken" in fault:
            body = body[:-9] + bytes([body[-9] ^ 1]) + body[-8:]
        first = int(re.match(r"bytes=(\d+)-", range_)[1]) if range_ and "whole" not in fault else 0
        if first >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if first else 200)
        if "unsure" not in fault:
            self.send_header("Content-Length", str(len(body) - first))
        if self.path in server.etags:
            self.send_header("ETag", f'"{server.etags[self.path]}"')
        self.end_headers()
        if self.command == "GET":
            rest = body[first:]
            self.wfile.write(rest[: len(rest) // 2] if "drop" in fault else rest)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server() as running:
        Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        running.content["/a.nii.gz"] = nifti(0)
        yield running
        running.shutdown()


@pytest.fixture
def service(server):
    return Service(
        server.url("/image_{case:05}.nii.gz"),
        server.url("/data/case_{case:05}/segmentation.nii.gz"),
        server.url("/tree"),
        tries=3,
        wait_s=0.001,
    )


def blob_hash(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def test_a_download_goes_on_where_the_connection_dropped(server, service, tmp_path):
    server.faults["/a.nii.gz"] = ["drop"] * 6  # more often than there are tries: each brought something
    fetch(server.url("/a.nii.gz"), tmp_path / "a.nii.gz", service)
    assert (tmp_path / "a.nii.gz").read_bytes() == server.content["/a.nii.gz"]
    starts = [int(r[6:-1]) if r else 0 for _, r in server.asked]
    assert len(starts) == 7
    assert starts == sorted(set(starts))  # always further on, nothing twice
    assert [p.name for p in tmp_path.iterdir()] == ["a.nii.gz"]


def test_a_download_goes_on_after_the_program_ended(server, service, tmp_path):
    (tmp_path / "partial-a.nii.gz").write_bytes(server.content["/a.nii.gz"][:1000])
    fetch(server.url("/a.nii.gz"), tmp_path / "a.nii.gz", service)
    assert server.asked == [("/a.nii.gz", "bytes=1000-")]
    assert (tmp_path / "a.nii.gz").read_bytes() == server.content["/a.nii.gz"]


@pytest.mark.parametrize("faults", [["drop", "whole"], ["drop", "whole drop"], ["busy", "busy"], ["unsure drop"]])
def test_servers_that_know_no_ranges_are_busy_or_give_no_length(server, service, tmp_path, faults):
    server.faults["/a.nii.gz"] = list(faults)
    fetch(server.url("/a.nii.gz"), tmp_path / "a.nii.gz", service)
    assert (tmp_path / "a.nii.gz").read_bytes() == server.content["/a.nii.gz"]


def test_a_finished_file_that_was_never_checked_is_fetched_anew(server, service, tmp_path):
    (tmp_path / "partial-a.nii.gz").write_bytes(server.content["/a.nii.gz"])
    fetch(server.url("/a.nii.gz"), tmp_path / "a.nii.gz", service)
    assert (tmp_path / "a.nii.gz").read_bytes() == server.content["/a.nii.gz"]


@pytest.mark.parametrize("proof", ["git hash", "MD5", "SHA-256", "checksum of gzip"])
def test_a_broken_file_is_noticed_and_fetched_again(server, service, tmp_path, proof):
    content = server.content["/a.nii.gz"]
    server.faults["/a.nii.gz"] = ["broken"]
    if proof == "MD5":
        server.etags["/a.nii.gz"] = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if proof == "SHA-256":  # as Hugging Face tells it of large files
        server.etags["/a.nii.gz"] = hashlib.sha256(content).hexdigest()
    fetch(server.url("/a.nii.gz"), tmp_path / "a.nii.gz", service, blob_hash(content) if proof == "git hash" else None)
    assert (tmp_path / "a.nii.gz").read_bytes() == content
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("faults", "reason"),
    [(["broken"] * 99, "git hash is wrong"), (["drop", "broken"] * 99, "git hash is wrong"), (["busy"] * 99, "503")],
)
def test_what_never_gets_better_ends_with_the_reason(server, service, tmp_path, faults, reason):
    server.faults["/a.nii.gz"] = list(faults)
    with pytest.raises(DownloadError, match=reason):
        fetch(server.url("/a.nii.gz"), tmp_path / "a.nii.gz", service, blob_hash(server.content["/a.nii.gz"]))
    assert len(server.asked) <= 6
    assert not (tmp_path / "a.nii.gz").exists()


def test_what_is_not_there_is_not_asked_for_twice(server, service, tmp_path):
    with pytest.raises(DownloadError, match="status 404"):
        fetch(server.url("/none.nii.gz"), tmp_path / "none.nii.gz", service)
    assert len(server.asked) == 1


def test_a_page_instead_of_an_image_is_refused(server, service, tmp_path):
    server.content["/a.nii.gz"] = b"<html>Please log in</html>" * 500
    with pytest.raises(DownloadError, match="no NIfTI image"):
        fetch(server.url("/a.nii.gz"), tmp_path / "a.nii.gz", service)


def test_a_disk_that_fills_up_keeps_what_is_there(server, service, tmp_path):
    with no_file_over(30_000), pytest.raises(DownloadError, match="make room"):
        fetch(server.url("/a.nii.gz"), tmp_path / "a.nii.gz", service)
    kept = (tmp_path / "partial-a.nii.gz").stat().st_size
    assert 0 < kept <= 30_000
    fetch(server.url("/a.nii.gz"), tmp_path / "a.nii.gz", service)
    assert server.asked[1] == ("/a.nii.gz", f"bytes={kept}-")


@pytest.fixture
def cases(server):
    """Three cases on the server, and the hashes of their masks."""
    tree = []
    for case in range(3):
        mask = f"data/case_{case:05}/segmentation.nii.gz"
        server.content[f"/{mask}"] = nifti(10 + case)
        server.content[f"/image_{case:05}.nii.gz"] = nifti(20 + case)
        tree.append({"path": mask, "sha": blob_hash(server.content[f"/{mask}"]), "type": "blob"})
    server.content["/tree"] = json.dumps({"tree": tree}).encode()
    return server


def test_cases_come_in_kits_layout_and_only_what_is_missing_is_fetched(cases, service, tmp_path):
    said = []
    assert download.download(tmp_path, [0, 1, 2], service, said.append) == {}
    for case in range(3):
        folder = tmp_path / f"case_{case:05}"
        assert (folder / "imaging.nii.gz").read_bytes() == cases.content[f"/image_{case:05}.nii.gz"]
        assert (folder / "segmentation.nii.gz").read_bytes() == cases.content[
            f"/data/{folder.name}/segmentation.nii.gz"
        ]
    assert "6 files" in said[0]
    cases.asked.clear()
    (tmp_path / "case_00001" / "imaging.nii.gz").unlink()
    download.download(tmp_path, [0, 1, 2], service, said.append)
    assert [path for path, _ in cases.asked if path != "/tree"] == ["/image_00001.nii.gz"]


def test_one_file_that_fails_does_not_stop_the_others(cases, service, tmp_path):
    cases.faults["/data/case_00001/segmentation.nii.gz"] = ["broken"] * 99
    del cases.content["/image_00000.nii.gz"]
    failed = download.download(tmp_path, [0, 1, 2], service, lambda _: None)
    assert sorted(failed) == [0, 1]
    assert "git hash" in failed[1]
    assert (tmp_path / "case_00002" / "imaging.nii.gz").exists()
    assert not (tmp_path / "case_00001" / "segmentation.nii.gz").exists()


def test_without_published_hashes_it_says_so(cases, service, tmp_path):
    said = []
    assert download.download(tmp_path, [0], replace(service, mask_hashes=service.mask_hashes + "x"), said.append) == {}
    assert any("hashes cannot be fetched" in line for line in said)


def test_no_room_is_told_before_anything_is_fetched(cases, service, tmp_path, monkeypatch):
    size = sum(len(cases.content[f"/image_{case:05}.nii.gz"]) for case in range(3))
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: type("Usage", (), {"free": size}))
    with pytest.raises(DownloadError, match="has room for"):
        download.download(tmp_path, [0, 1, 2], service, lambda _: None)
    assert cases.asked == []
    assert download.missing_bytes([(service.images.format(case=0), tmp_path / "i.nii.gz")]) == len(nifti(20))


def test_the_licence_comes_first(tmp_path, command, capsys, monkeypatch):
    monkeypatch.setattr(download, "download", lambda *_: pytest.fail("fetched without consent"))
    assert command(download, "--output", tmp_path) == 2
    assert "CC BY-NC-SA 4.0" in capsys.readouterr().err


@pytest.mark.parametrize(("failed", "status"), [({}, 0), ({3: "gone"}, 1)])
def test_the_command(tmp_path, command, capsys, monkeypatch, failed, status):
    asked = []
    monkeypatch.setattr(download, "download", lambda *given: asked.append(given) or failed)
    assert command(download, "--output", tmp_path, "--cases", "2-4,9", "--accept-licence") == status
    assert f"{4 - len(failed)} of 4 cases are there; {len(failed)} have failed" in capsys.readouterr().out
    assert asked == [(tmp_path, [2, 3, 4, 9], download.SERVICES["kits19"])]
    assert command(download, "--output", tmp_path, "--dataset", "kits23", "--accept-licence") == status
    assert len(asked[1][1]) == 489
    assert asked[1][2] is download.SERVICES["kits23"]
    monkeypatch.setattr(download, "download", lambda *_: (_ for _ in ()).throw(DownloadError("no room")))
    assert command(download, "--output", tmp_path, "--accept-licence") == 2
    assert "no room" in capsys.readouterr().err


@pytest.mark.parametrize("cases", ["9-3", "", "x"])
def test_no_numbers_are_not_all_cases(cases, tmp_path, command, capsys, monkeypatch):
    monkeypatch.setattr(download, "download", lambda *_: pytest.fail("something was fetched"))
    with pytest.raises(SystemExit):
        command(download, "--output", tmp_path, "--accept-licence", "--cases", cases)
    assert "--cases: invalid numbers value" in capsys.readouterr().err


def test_kits23_comes_likewise(server, service, tmp_path):
    mask = "/dataset/case_00401/segmentation.nii.gz"
    server.content |= {mask: nifti(1), "/image_00401.nii.gz": nifti(2)}
    tree = [{"path": mask[1:], "sha": blob_hash(b"another"), "type": "blob"}]
    server.content["/tree"] = json.dumps({"tree": tree}).encode()
    kits23 = replace(service, masks=server.url("/dataset/case_{case:05}/segmentation.nii.gz"), folder="dataset")
    assert "git hash" in download.download(tmp_path, [401], kits23, lambda _: None)[401]  # so the hash is looked at
    tree[0]["sha"] = blob_hash(server.content[mask])
    server.content["/tree"] = json.dumps({"tree": tree}).encode()
    assert download.download(tmp_path, [401], kits23, lambda _: None) == {}
    assert (tmp_path / "case_00401" / "segmentation.nii.gz").read_bytes() == server.content[mask]


def test_the_addresses_name_the_case():
    for service in download.SERVICES.values():
        assert "case_00007" in service.masks.format(case=7)
        assert "00007.nii.gz" in service.images.format(case=7)
        assert service.masks.split("/case_")[0].endswith(f"/{service.folder}")
