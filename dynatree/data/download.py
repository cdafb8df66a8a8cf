"""Downloads that resume after an interruption of the connection or the process."""

import email.utils
import http.client
import time
import urllib.error
import urllib.request
from pathlib import Path

from dynatree.errors import DynatreeError
from dynatree.utils.files import DISK_FULL, sha256

ATTEMPTS = 5
PAUSE = 2.0  # seconds before the second attempt; pauses grow linearly
TIMEOUT = 60  # seconds without a byte
BLOCK = 2**16
LONGEST_PAUSE = 300.0  # seconds, however long a server asks to wait
TRANSIENT = {
    http.HTTPStatus.REQUEST_TIMEOUT,
    http.HTTPStatus.TOO_EARLY,
    http.HTTPStatus.TOO_MANY_REQUESTS,
}


def download(url: str, path: Path, digest: str) -> None:
    """Download ``url`` to ``path`` unless the file exists with the right hash.

    Received bytes are in ``path`` with the suffix ``.partial``; the next call requests only the rest. If a continued
    file has the wrong hash, the download starts over once, because the first part may be of another file.

    Args:
        url: an http, https or file URL.
        path: its folder is created. Two processes must not download to the same path.
        digest: required SHA-256.

    Raises:
        DynatreeError: the download fails, or the hash differs; only a wrong hash discards the received bytes.
        OSError: the disk is full.
    """
    if path.is_file() and sha256(path) == digest:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    continued = partial.exists()
    _persist(url, partial)
    actual = sha256(partial)
    if actual != digest and continued:
        partial.unlink()
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
            if getattr(error, "errno", None) in DISK_FULL:
                raise
            if attempt == ATTEMPTS or _final(error):
                raise DynatreeError(
                    f"cannot download {url} ({error}); check the network and run again; received bytes are kept"
                ) from error
            print(f"{url}: {error}; trying again", flush=True)
            time.sleep(max(PAUSE * attempt, _requested_pause(error)))


def _continue(url: str, partial: Path) -> None:
    """Request the missing bytes; start over if the server cannot send a part."""
    present = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={present}-"} if present else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing is missing; the caller checks the hash
        raise
    with response, partial.open("ab" if response.status == http.HTTPStatus.PARTIAL_CONTENT else "wb") as stream:
        end = stream.tell() + int(response.headers.get("Content-Length", 0))
        while block := response.read(BLOCK):
            stream.write(block)
        if stream.tell() < end:
            raise ConnectionError(f"cut off after {stream.tell()} of {end} bytes")


def _final(error: Exception) -> bool:
    """Return True if another attempt cannot succeed."""
    return (
        isinstance(error, urllib.error.HTTPError)
        and error.code < http.HTTPStatus.INTERNAL_SERVER_ERROR
        and error.code not in TRANSIENT
    )


def _requested_pause(error: Exception) -> float:
    """Return the seconds that the server asks to wait, 0 if it asks for nothing, never more than ``LONGEST_PAUSE``."""
    asked = error.headers.get("Retry-After", "") if isinstance(error, urllib.error.HTTPError) else ""
    if asked.isdecimal():
        return min(float(asked), LONGEST_PAUSE)
    try:
        pause = email.utils.parsedate_to_datetime(asked).timestamp() - time.time()
    except ValueError:
        return 0.0
    return min(max(pause, 0.0), LONGEST_PAUSE)
