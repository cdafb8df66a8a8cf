"""Downloads that go on where they were cut off, whether the connection or the process ended."""

import http.client
import time
import urllib.error
import urllib.request
from pathlib import Path

from dynatree.errors import DynatreeError
from dynatree.utils.files import sha256
from dynatree.workflow.script import FULL

ATTEMPTS = 5
PAUSE = 2.0  # seconds before the second attempt; each further pause is longer
TIMEOUT = 60  # seconds without a byte
BLOCK = 2**16


def download(url: str, path: Path, digest: str) -> None:
    """Make ``path`` the file that ``url`` serves. One that is there with the right hash is not downloaded again.

    What has arrived lies in ``path`` with the suffix ``.partial``; the next call asks for the rest only.

    Args:
        url: of kind http, https or file.
        path: its folder is made; no two processes may download to the same path.
        digest: SHA-256 that the file must have.

    Raises:
        DynatreeError: the file does not come, or has another hash; only then is what has arrived discarded.
        OSError: the disk is full.
    """
    if path.is_file() and sha256(path) == digest:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    _persist(url, partial)
    actual = sha256(partial)
    if actual != digest:
        partial.unlink()
        raise DynatreeError(f"{url} has SHA-256 {actual}, but {digest} is pinned; try again, or correct the pin")
    partial.replace(path)


def _persist(url: str, partial: Path) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _continue(url, partial)
            return
        except (OSError, http.client.HTTPException) as error:
            if getattr(error, "errno", None) in FULL:
                raise
            if attempt == ATTEMPTS or _final(error):
                raise DynatreeError(
                    f"cannot download {url} ({error}); check the network and run again: what has arrived is kept"
                ) from error
            print(f"{url}: {error}; trying again", flush=True)
            time.sleep(PAUSE * attempt)


def _continue(url: str, partial: Path) -> None:
    """Ask for what is missing, and for the whole file where the server cannot send a part."""
    present = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={present}-"} if present else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing is missing; the hash tells whether it is right
        raise
    with response, partial.open("ab" if response.status == http.HTTPStatus.PARTIAL_CONTENT else "wb") as stream:
        end = stream.tell() + int(response.headers.get("Content-Length", 0))
        while block := response.read(BLOCK):
            stream.write(block)
        if stream.tell() < end:
            raise ConnectionError(f"cut off after {stream.tell()} of {end} bytes")


def _final(error: Exception) -> bool:
    """Whether the server refused for good."""
    return isinstance(error, urllib.error.HTTPError) and error.code < http.HTTPStatus.INTERNAL_SERVER_ERROR
