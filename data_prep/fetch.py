"""Download one file, resuming where an earlier attempt stopped.

    fetch("https://example.org/big.tar.gz", Path("downloads/big.tar.gz"))

What has come so far lies in `<name>.part`, and beside it, in `<name>.part.json`, which version of the file it belongs to.
The rest is asked for with `Range`, and with `If-Range`, so that a file that changed on the server starts again (RFC 9110,
sections 13.1.5 and 14).
"""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
import urllib.request
from pathlib import Path

from data_prep.common.errors import UserError
from data_prep.common.terminal import Progress, silent

CHUNK = 1 << 20
TIMEOUT = 60.0
"""Seconds without a byte after which the server is given up."""


class _TooMuch(Exception):
    """The server sends, or says that it will send, more than the file can have."""


def fetch(url: str, path: Path, progress: Progress = silent, *, limit: int | None = None) -> None:
    """The file at `url` as `path`, which appears only when every byte has come; `progress("downloading", n_done, n_all)`.

    limit: bytes that the file has at most, if that is known. Raises `UserError` where the server refuses, does not answer or
    breaks off; what has come is kept then. Where it sends more than `limit`, nothing is kept.
    """
    if not url.startswith(("http://", "https://")):
        raise UserError(f"{url} is no http or https address: give one.")
    part, note = path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.part.json")
    done, version = _so_far(part, note, url)
    headers = {"User-Agent": "data-prep", "Accept-Encoding": "identity"}
    if done:
        headers |= {"Range": f"bytes={done}-", "If-Range": version}
    try:
        with _answer(url, headers) as answer:
            start, total = _span(answer, done)
            note.write_text(json.dumps({"url": url, "version": _version(answer)}), encoding="utf-8")
            _receive(answer, part, start=start, total=total, limit=limit, progress=progress)
    except _TooMuch as error:
        for left in (part, note):
            left.unlink(missing_ok=True)
        raise UserError(
            f"{url} sends {error}, but the file has {limit:,} at most, so it is not the right one: check the address."
        ) from None
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and done:
            part.unlink()
            return fetch(url, path, progress, limit=limit)
        raise UserError(
            f"{url} cannot be downloaded, the server says {error.code} {error.reason}: check the address."
        ) from error
    except (OSError, http.client.HTTPException) as error:
        have = part.stat().st_size if part.exists() else 0
        why = getattr(error, "reason", None) or error
        raise UserError(f"{url} broke off after {have:,} bytes ({why}): start again to resume there.") from error
    part.replace(path)
    note.unlink(missing_ok=True)
    return None


def _answer(url: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    try:
        request = urllib.request.Request(url, headers=headers)
        return urllib.request.urlopen(request, timeout=TIMEOUT)
    except (ValueError, http.client.InvalidURL) as error:
        raise UserError(f"{url} is no address that can be asked ({error}): correct it.") from error


def _so_far(part: Path, note: Path, url: str) -> tuple[int, str]:
    """Bytes that are usable already and the version that they belong to; 0 where the server could not tell versions apart."""
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
        version = known["version"] if known["url"] == url else None
        return (part.stat().st_size, version) if version else (0, "")
    except (OSError, ValueError, TypeError, KeyError):
        return 0, ""


def _version(answer: http.client.HTTPResponse) -> str | None:
    """A strong validator: the entity tag, else the date of the last change."""
    tag = answer.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified")


def _span(answer: http.client.HTTPResponse, done: int) -> tuple[int, int | None]:
    """First byte that comes, and how many the whole file has."""
    if answer.status == http.client.PARTIAL_CONTENT:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
        if not found or int(found[1]) != done:
            raise http.client.HTTPException(f"bytes from {done:,} were asked for, others came")
        return done, None if found[2] == "*" else int(found[2])
    length = answer.headers.get("Content-Length")
    return 0, int(length) if length is not None and length.isdigit() else None


def _receive(
    answer: http.client.HTTPResponse,
    part: Path,
    *,
    start: int,
    total: int | None,
    limit: int | None,
    progress: Progress,
) -> None:
    done = start
    if limit is not None and total is not None and total > limit:
        raise _TooMuch(f"{total:,} bytes")
    with part.open("r+b" if start else "wb") as file:
        file.seek(start)
        while chunk := answer.read(CHUNK):
            file.write(chunk)
            done += len(chunk)
            if limit is not None and done > limit:
                raise _TooMuch("bytes without end")
            if total:
                progress("downloading", done, total)
    if total is not None and done != total:
        raise http.client.HTTPException(f"the server ended it {total - done:,} bytes early")
