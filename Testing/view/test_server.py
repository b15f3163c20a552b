"""Who is let in: addresses, tokens, keys, how many; and what is left when it all ends."""

import asyncio
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest
from wpunet import cli
from wpunet.errors import InputError
from wpunet_view import needs

from Testing.view.conftest import ROOT, Server, require_parts, serving
from Testing.view.test_opening import waited
from Testing.view.visitor import until


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def get(address, **headers):
    """Status, text and headers of an answer; redirections are not followed."""
    request = urllib.request.Request(address, headers={key.replace("_", "-"): value for key, value in headers.items()})
    opener = urllib.request.build_opener(Stay, urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), error.headers


def listening(pid):
    """Addresses that a process listens on: {(address, port)}, as /proc tells them."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed in the meantime
            inodes.add(str(link.readlink()))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                address, port = fields[1].split(":")
                found.add((address, int(port, 16)))
    return found


LOOPBACK = "0100007F"  # 127.0.0.1, as /proc writes it


@pytest.fixture(scope="module")
def server():
    """One for these tests alone: pages that are asked for and never opened count for two minutes."""
    require_parts(browser=False)
    with serving() as server:
        yield server


def test_only_this_machine_is_served_and_every_page_has_a_secret_address(server):
    status, _, headers = get(server.address)
    assert status == 302
    page = headers["Location"]
    assert re.fullmatch(r"/[0-9a-f]{32}/", page)
    host = server.address.split("/")[2]
    until(lambda: get(f"http://{host}{page}index.html")[1].count("vue"), "the page to start")
    _, text, headers = get(f"http://{host}{page}index.html")
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "no-referrer"
    assert get(f"http://{host}/{'0' * 32}/index.html")[0] == 404
    status, text, _ = get(server.address, Host="evil.example:80")  # somebody's name that resolves to 127.0.0.1
    assert (status, "this machine alone" in text) == (403, True)
    assert {address for address, _ in listening(server.process.pid)} == {LOOPBACK}


def test_a_session_answers_nobody_but_the_server(server):
    pids = until(lambda: [pid for pid in server.children("wpunet_view.session") if listening(pid)], "a session")
    for pid in pids:
        ((address, port),) = listening(pid)
        assert address == LOOPBACK
        for path in ("", "index.html", "ws", "save/json"):
            assert get(f"http://127.0.0.1:{port}/{path}", X_Wpunet_Key="guess")[0] == 403


def test_a_token_where_others_may_come_and_an_end_that_leaves_nothing():
    require_parts(browser=False)
    with serving("--host", "0.0.0.0", "--keep", "1") as server:
        address, token = server.address.split("?token=")
        assert len(token) >= 24
        port = address.split(":")[-1].strip("/")
        assert {one for one, _ in listening(server.process.pid)} == {"00000000"}
        address = f"http://127.0.0.1:{port}/"
        assert get(address)[0] == 403
        assert get(f"{address}?token={token[:-1]}")[0] == 403
        assert get(f"{address}?token={token}")[0] == 302
        pages = {get(f"{address}?token={token}")[2]["Location"] for _ in range(3)}
        assert len(pages) == 3
        status, text, _ = get(f"{address}?token={token}")
        assert (status, "4 pages are open already" in text) == (503, True)
        sessions = server.children("wpunet_view.session")
        assert len(sessions) == 4
        assert server.stop() == 0
        assert not [pid for pid in sessions if Path(f"/proc/{pid}").exists()]


def test_sessions_go_with_a_server_that_is_killed(tmp_path):
    require_parts(browser=False)
    server = Server()
    (session,) = until(lambda: server.children("wpunet_view.session"), "the first session")
    until(lambda: listening(session), "it to listen")
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    until(lambda: not Path(f"/proc/{session}").exists(), "the session to end")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["missing.nii.gz"], "does not exist"),
        (["--port", "1", "--host", "203.0.113.7"], "Cannot listen on 203.0.113.7:1"),
        (["--port", "99999"], "Cannot listen on 127.0.0.1:99999"),
        (["--weights", "missing.safetensors"], "missing.safetensors does not exist"),
        (["--keep", "-1"], "'-1' is no time; give seconds, 0 or more"),
        (["--upload-limit", "nan"], "'nan' is no size; give MB, 0 or more"),
    ],
)
def test_what_cannot_be_served_is_told_in_one_line(arguments, says):
    require_parts(browser=False)
    command = [sys.executable, "-m", "wpunet", "view", "--no-browser", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == cli.EXIT_BAD_INPUT
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_is_missing_is_told_with_the_remedy(monkeypatch):
    monkeypatch.setattr(needs, "PACKAGES", ("json", "trame_slicer_of_tomorrow"))
    with pytest.raises(InputError, match=r"trame_slicer_of_tomorrow.* -m pip install "):
        needs.require()
    monkeypatch.setattr(needs, "PACKAGES", ())
    monkeypatch.setattr(needs.sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setattr(needs.ctypes.util, "find_library", lambda name: None)
    with pytest.raises(InputError, match="apt-get install libosmesa6"):
        needs.require()
    monkeypatch.setenv("DISPLAY", ":0")
    needs.require()


def test_the_command_that_installs_the_pages_packages_works_as_it_is_printed():
    pytest.importorskip("trame_slicer", reason="needs what it installs, so that nothing is downloaded")
    command = shlex.split(needs.install_command())
    tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]["view"]
    assert {one.replace(" ", "") for one in command[4:]} == {one.replace(" ", "") for one in listed}
    done = subprocess.run([*command, "--no-index"], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("already satisfied") >= len(listed)


def test_the_demo_says_why_it_opens_no_page(monkeypatch):
    from Testing import demo

    monkeypatch.setattr(demo.sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert "no display" in demo.why_no_page()
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(demo.webbrowser, "get", lambda: None)
    monkeypatch.setattr(needs, "PACKAGES", ("trame_slicer_of_tomorrow",))
    assert "pip install" in demo.why_no_page()
    monkeypatch.setattr(needs, "PACKAGES", ())
    assert demo.why_no_page() == ""


def test_an_upload_may_take_as_long_as_it_takes(monkeypatch, tmp_path):
    require_parts(browser=False)
    import aiohttp

    usual = aiohttp.ClientTimeout(total=0.5)  # five minutes, where it is not changed
    monkeypatch.setattr("aiohttp.client.DEFAULT_TIMEOUT", usual)

    async def slowly():
        for _ in range(4):
            yield b"Dear colleague"
            await asyncio.sleep(0.3)

    async def send(address):
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as client:
            page = (await client.get(address)).url
            assert await (await client.get(page / "ready")).text() == "yes"
            answer = await client.post(page / "upload" / "letter.txt", data=slowly())
            return answer.status, await answer.text()

    assert waited(served(tmp_path, send)) == (200, "ok")


def test_only_the_last_closing_of_a_page_counts(tmp_path):
    require_parts(browser=False)
    import aiohttp

    async def come_and_go(address):
        async with aiohttp.ClientSession() as client:
            page = (await client.get(address)).url
            await client.get(page / "ready")
            for pause in (0, 1.5):  # after the second closing the first one's time is over, its own is not
                await asyncio.sleep(pause)
                await (await client.ws_connect(page / "ws")).close()
            await asyncio.sleep(1.0)
            return (await client.get(page / "index.html")).status

    assert waited(served(tmp_path, come_and_go, keep=2)) == 200


def test_a_session_that_is_killed_leaves_no_files(monkeypatch, tmp_path):
    require_parts(browser=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with serving() as server:
        page = server.address.rstrip("/") + get(server.address)[2]["Location"]
        until(lambda: get(f"{page}ready")[1] == "yes", "the session")
        upload = urllib.request.Request(f"{page}upload/patient.txt", data=b"Dear colleague")
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(upload, timeout=30).close()
        assert list(tmp_path.rglob("patient.txt"))
        (session,) = server.children("wpunet_view.session")
        os.kill(session, signal.SIGKILL)
        until(lambda: not list(tmp_path.rglob("patient.txt")), "the patient's files to go", 20)


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are looked at as Linux shows them")
def test_a_session_waits_for_its_end_beside_its_standard_input():
    """On Windows a library that looks at standard input when it is loaded, as SciPy's, would wait for whoever reads."""
    require_parts(browser=False)
    with serving() as server:
        page = server.address.rstrip("/") + get(server.address)[2]["Location"]
        until(lambda: get(f"{page}ready")[1] == "yes", "the session")
        (session,) = server.children("wpunet_view.session")
        assert Path(f"/proc/{session}/fd/0").readlink() == Path(os.devnull)


async def served(folder, visit, keep=5):
    """What ``visit`` gives for the address of pages that are served in this very process."""
    from aiohttp import web
    from wpunet_view.server import Pages, Settings

    session = {"ct": None, "series": None, "segment": False, "device": "cpu", "threads": None, "weights": None}
    pages = Pages(Settings(None, 0, browser=False, keep=keep, session={**session, "upload_limit": 1_000_000}), folder)
    runner = web.AppRunner(pages.app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        await pages.prepare()
        return await visit(pages.address(*runner.addresses[0]))
    finally:
        await pages.close()
        await runner.cleanup()
