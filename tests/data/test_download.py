"""Downloads from a server that cuts connections, knows no ranges, or serves something else."""

import email.utils
import functools
import hashlib
import re
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dynatree import DynatreeError
from dynatree.data import download as module
from dynatree.data.download import download

CONTENT = bytes(range(256)) * 4096  # 1 MiB
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT; ``cuts`` are the bytes after which each of the next connections ends."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.cuts, self.ranges, self.status, self.asked, self.pause = CONTENT, [], True, 0, [], 0.0
        self.refusals: list[tuple[int, str]] = []  # status and Retry-After of the next answers
        self.url = f"http://127.0.0.1:{self.server_port}/file"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked and server.ranges else 0
        server.asked.append(int(asked[1]) if asked else 0)
        if server.refusals:
            status, wait = server.refusals.pop(0)
            self.send_response(status)
            self.send_header("Retry-After", wait)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if server.status or start >= len(server.content):
            self.send_error(server.status or 416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(server.content) - start))
        self.end_headers()
        body = server.content[start:]
        body = body[: server.cuts.pop(0)] if server.cuts else body
        for place in range(0, len(body), 65536):
            self.wfile.write(body[place : place + 65536])
            time.sleep(server.pause)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 0.0)
    server = Server()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_cut_connection_resumes(server, tmp_path):
    server.cuts = [300_000, 200_000]
    download(server.url, tmp_path / "new/file", DIGEST)
    assert (tmp_path / "new/file").read_bytes() == CONTENT
    assert server.asked == [0, 300_000, 500_000]
    download(server.url, tmp_path / "new/file", DIGEST)
    assert len(server.asked) == 3, "a file that is there is not asked for"


def test_a_later_call_uses_the_bytes_of_an_earlier_one(server, tmp_path):
    server.cuts = [100_000] * module.ATTEMPTS
    with pytest.raises(DynatreeError, match=r"cut off after 500000 of 1048576 bytes\).*received bytes are kept"):
        download(server.url, tmp_path / "file", DIGEST)
    assert not (tmp_path / "file").exists()
    download(server.url, tmp_path / "file", DIGEST)
    assert server.asked[-1] == 500_000
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_download_resumes_after_a_killed_process(server, tmp_path, number):
    server.pause = 0.2
    imports = "from pathlib import Path; from dynatree.data.download import download"
    call = f"{imports}; download({server.url!r}, Path('file'), '')"
    # A process of a background job would ignore SIGINT.
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen([sys.executable, "-c", call], cwd=tmp_path, stderr=subprocess.DEVNULL, preexec_fn=heed)
    partial = tmp_path / "file.partial"
    deadline = time.monotonic() + 60
    while not (partial.exists() and partial.stat().st_size):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    process.wait()
    present = partial.stat().st_size
    assert 0 < present < len(CONTENT)
    server.pause = 0.0
    download(server.url, tmp_path / "file", DIGEST)
    assert server.asked == [0, present]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_server_without_ranges_sends_all_again(server, tmp_path):
    server.ranges, server.cuts = False, [400_000]
    download(server.url, tmp_path / "file", DIGEST)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_partial_file_that_is_complete_is_taken(server, tmp_path):
    (tmp_path / "file.partial").write_bytes(CONTENT)
    download(server.url, tmp_path / "file", DIGEST)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_the_remains_of_another_file_are_replaced(server, tmp_path):
    (tmp_path / "file.partial").write_bytes(b"of another file")
    download(server.url, tmp_path / "file", DIGEST)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert server.asked == [len(b"of another file"), 0]


def test_another_file_is_refused_and_discarded(server, tmp_path):
    server.content = b"of another file"
    with pytest.raises(DynatreeError, match=f"SHA-256 .*, but {DIGEST} is pinned; try again"):
        download(server.url, tmp_path / "file", DIGEST)
    assert not list(tmp_path.iterdir())
    server.content = CONTENT
    download(server.url, tmp_path / "file", DIGEST)


def test_a_refusal_is_not_repeated(server, tmp_path):
    server.status = 404
    with pytest.raises(DynatreeError, match=r"cannot download http://.*404.*check the network"):
        download(server.url, tmp_path / "file", DIGEST)
    assert len(server.asked) == 1


def test_an_overloaded_server_is_asked_again(server, tmp_path):
    server.status = 503
    with pytest.raises(DynatreeError, match="503"):
        download(server.url, tmp_path / "file", DIGEST)
    assert len(server.asked) == module.ATTEMPTS


@pytest.mark.parametrize("status", [408, 425, 429, 503])
def test_a_server_that_asks_to_wait_is_asked_again(server, tmp_path, monkeypatch, status):
    waited = []
    monkeypatch.setattr(module.time, "sleep", waited.append)
    in_a_minute = email.utils.formatdate(time.time() + 60, usegmt=True)
    server.refusals = [(status, "7"), (status, in_a_minute), (status, "99999"), (status, "soon")]
    download(server.url, tmp_path / "file", DIGEST)
    assert (tmp_path / "file").read_bytes() == CONTENT
    pauses = [pause for pause in waited if pause != server.pause]
    assert pauses[0] == 7 and 50 < pauses[1] <= 60 and pauses[2:] == [module.LONGEST_PAUSE]


def test_no_connection_is_one_clear_line(server, tmp_path):
    url = server.url
    server.shutdown()
    server.server_close()
    with pytest.raises(DynatreeError, match=r"cannot download .*refused.*check the network and run again"):
        download(url, tmp_path / "file", DIGEST)


def test_local_files_are_downloads_too(tmp_path):
    (tmp_path / "source").write_bytes(CONTENT)
    download((tmp_path / "source").as_uri(), tmp_path / "file", DIGEST)
    assert (tmp_path / "file").read_bytes() == CONTENT
