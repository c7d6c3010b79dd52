"""Downloading, against a server of our own: whole, broken off, changed meanwhile, wrong, malicious."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import io
import json
import re
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
from decathlon_files import png, write_tar

from data_prep import download
from data_prep.common.errors import UserError
from data_prep.decathlon import open_decathlon
from data_prep.decathlon_tables import OFFICIAL_ORDER
from data_prep.download import ANNOTATIONS, IMAGES, Archive
from data_prep.fetch import fetch


class Server(http.server.ThreadingHTTPServer):
    """Serves `files` by name. `break_after`: bytes of a body after which the connection is dropped, once."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.break_after: int | None = None
        self.ranges, self.tags = True, True
        self.asked: list[tuple[str, str | None]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        self.server.asked.append((name, self.headers.get("Range")))
        data = self.server.files.get(name)
        if data is None:
            self.send_error(404)
            return
        tag = f'"{hashlib.md5(data).hexdigest()}"'
        start = 0
        if (wanted := self.headers.get("Range")) and self.server.ranges and self.headers.get("If-Range") == tag:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            if start >= len(data):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        if self.server.tags:
            self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        body = data[start:]
        if self.server.break_after is not None:
            body, self.server.break_after = body[: self.server.break_after], None
            self.close_connection = True
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server():
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def official(extra: tuple = ()) -> tuple[dict[str, bytes], tuple[Archive, Archive]]:
    """The two archives as the official ones are made, of one image a split of every domain; and their checksums."""
    annotations, images = {"decathlon-1.0/README": b"hello"}, {}
    for domain in OFFICIAL_ORDER:
        first = download_number(domain)
        inner = {}
        for split, (kind, folder) in enumerate(
            (("train", "train/0001"), ("val", "val/0001"), ("test_stripped", "test"))
        ):
            number, name = first + split * 10**5 + 1, f"{domain}/{folder}/000001.png"
            inner[name] = png(np.full((2, 3, 3), split, np.uint8))
            text = {
                "images": [{"id": number, "width": 3, "height": 2, "file_name": f"data/{name}"}],
                "categories": [{"id": first + 1, "name": "thing"}],
                "annotations": [] if split == 2 else [{"image_id": number, "category_id": first + 1}],
            }
            annotations[f"decathlon-1.0/annotations/{domain}_{kind}.json"] = json.dumps(text).encode()
        if domain != "imagenet12":
            memory = io.BytesIO()
            write_tar(memory, inner)
            images[f"{domain}.tar"] = memory.getvalue()
    files, archives = {}, []
    for archive, content, more in ((ANNOTATIONS, annotations, ()), (IMAGES, images, extra)):
        memory = io.BytesIO()
        write_tar(memory, content, "w:gz", more)
        files[archive.name] = memory.getvalue()
        archives.append(Archive(archive.name, None, hashlib.sha256(files[archive.name]).hexdigest()))
    return files, tuple(archives)


def download_number(domain: str) -> int:
    return sorted(OFFICIAL_ORDER).index(domain) * 10**7 + 10**7


# One file


def test_a_broken_download_resumes_where_it_stopped(server, tmp_path):
    data = np.random.default_rng(0).bytes(300_000)
    server.files["big"], server.break_after = data, 100_000
    path, steps = tmp_path / "big", []
    with pytest.raises(UserError, match=r"broke off after 100,000 bytes .*: start again to resume there"):
        fetch(f"{server.url}/big", path)
    assert not path.exists()
    fetch(f"{server.url}/big", path, lambda *step: steps.append(step))
    assert path.read_bytes() == data and server.asked == [("big", None), ("big", "bytes=100000-")]
    assert steps[0][1] > 100_000 and steps[-1] == ("downloading", 300_000, 300_000)
    assert [file.name for file in tmp_path.iterdir()] == ["big"], "nothing else is left"


@pytest.mark.parametrize("change", ["file", "no ranges", "no tags", "note damaged", "all there but the name"])
def test_it_starts_again_where_it_cannot_resume(server, tmp_path, change):
    data = np.random.default_rng(0).bytes(50_000)
    server.files["big"], server.break_after = data, 20_000
    server.tags = change != "no tags"
    path = tmp_path / "big"
    with pytest.raises(UserError, match="broke off after 20,000"):
        fetch(f"{server.url}/big", path)
    if change == "file":
        server.files["big"] = data = data[::-1]
    elif change == "no ranges":
        server.ranges = False
    elif change == "note damaged":
        (tmp_path / "big.part.json").write_text("{")
    elif change == "all there but the name":
        (tmp_path / "big.part").write_bytes(data)  # the server answers 416
    fetch(f"{server.url}/big", path)
    assert path.read_bytes() == data


def test_what_cannot_be_had_is_told(server, tmp_path):
    with pytest.raises(UserError, match="cannot be downloaded, the server says 404"):
        fetch(f"{server.url}/none", tmp_path / "none")
    server.shutdown()
    server.server_close()
    with pytest.raises(UserError, match="broke off after 0 bytes"):
        fetch(f"{server.url}/none", tmp_path / "none")
    with pytest.raises(UserError, match="is no http or https address"):
        fetch("file:///etc/hostname", tmp_path / "none")


# The decathlon


def run(server: Server, root: Path, archives: tuple, **options) -> list[str]:
    return list(download.download_decathlon(root, base_url=server.url, archives=archives, **options))


def test_what_is_downloaded_opens_as_a_decathlon(server, tmp_path):
    server.files, archives = official()
    lines = run(server, tmp_path, archives)
    data = open_decathlon(tmp_path)
    assert data.domains == OFFICIAL_ORDER
    for domain in OFFICIAL_ORDER[1:]:
        assert data.split(domain, "train+val").labels.tolist() == [0, 0]
        test = data.split(domain, "test")
        assert test.labels.tolist() == [-1] and (test.read(0) == 2).all()
    assert data.mean_std("svhn")[0][0] == 0.43768210
    assert sum("sha256 is the one known" in line for line in lines) == 2
    assert "image-net.org" in lines[-1] and str(tmp_path / "data/imagenet12.tar") in lines[-1]
    with pytest.raises(UserError, match=r"imagenet12/train/0001/000001.png' is not in"):
        data.split("imagenet12", "train")
    server.asked.clear()
    run(server, tmp_path, archives)
    assert server.asked == [], "nothing is downloaded twice"


def test_only_the_domains_asked_for(server, tmp_path):
    server.files, archives = official()
    lines = run(server, tmp_path, archives, domains=["svhn"])
    assert open_decathlon(tmp_path).domains == ("svhn",) and not any("image-net" in line for line in lines)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["svhn.tar"]
    run(server, tmp_path, archives, domains=["dtd"])
    assert open_decathlon(tmp_path).domains == ("dtd", "svhn") and len(server.asked) == 2, "the archives were kept"
    server.asked.clear()
    lines = run(server, tmp_path / "other", archives, domains=["imagenet12"])
    assert [name for name, _ in server.asked] == [ANNOTATIONS.name] and "Sign in at image-net.org" in lines[-1]
    with pytest.raises(UserError, match="Unknown official domain 'mnist'; known: imagenet12, aircraft"):
        run(server, tmp_path, archives, domains=["mnist"])


def test_a_wrong_checksum_is_refused_unless_accepted_and_then_held_to(server, tmp_path):
    server.files, archives = official()
    wrong = (archives[0], Archive(IMAGES.name, None, "0" * 64))
    path = tmp_path / "downloads" / IMAGES.name
    with pytest.raises(
        UserError, match=f"has sha256 {archives[1].sha256} .* but {'0' * 64} is known, so it was deleted"
    ):
        run(server, tmp_path, wrong, domains=["dtd"])
    assert not path.exists() and not (tmp_path / "data/dtd.tar").exists()
    lines = run(server, tmp_path, wrong, domains=["dtd"], accept_other_checksum=True)
    assert any("was written down; whether this is the official file is not known" in line for line in lines)
    assert (tmp_path / "downloads" / f"{IMAGES.name}.sha256").read_text() == f"{archives[1].sha256}  {IMAGES.name}\n"
    lines = run(server, tmp_path, wrong, domains=["svhn"])
    assert any("is that of the first download" in line for line in lines)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(UserError, match=f"but {archives[1].sha256} is known"):
        run(server, tmp_path, wrong, domains=["aircraft"])


@pytest.mark.parametrize(
    "member",
    [
        ("/etc/evil", tarfile.REGTYPE, ""),
        ("../evil", tarfile.REGTYPE, ""),
        ("a/../../evil", tarfile.REGTYPE, ""),
        ("dtd.tar", tarfile.SYMTYPE, "/etc/passwd"),
        ("link", tarfile.LNKTYPE, "dtd.tar"),
        ("device", tarfile.CHRTYPE, ""),
        ("pipe", tarfile.FIFOTYPE, ""),
    ],
    ids=lambda member: member[0],
)
def test_an_archive_with_anything_but_files_below_it_is_refused_whole(server, tmp_path, member):
    server.files, archives = official((member,))
    with pytest.raises(UserError, match="is a link, a device or a path out of it") as caught:
        run(server, tmp_path / "root", archives, domains=["dtd", "svhn"])
    assert repr(member[0]) in str(caught.value)
    assert list((tmp_path / "root/data").iterdir()) == [] and not list(tmp_path.rglob("evil"))


def test_damaged_archives_leave_nothing_half_written(server, tmp_path):
    server.files, _ = official()
    images = server.files[IMAGES.name]
    inner = io.BytesIO()
    write_tar(inner, {"dtd/train/0001/000001.png": b"x" * 600})
    bad = io.BytesIO()
    write_tar(bad, {"dtd.tar": inner.getvalue()[:1024]}, "w:gz")
    for data, words in (
        (images[: len(images) // 2], "cannot be unpacked"),
        (b"no archive", "cannot be unpacked"),
        (bad.getvalue(), "no whole uncompressed tar"),
        (server.files[ANNOTATIONS.name], "holds no images of dtd: it is not the official archive"),
    ):
        server.files[IMAGES.name] = data
        archives = tuple(
            Archive(name, None, hashlib.sha256(server.files[name]).hexdigest())
            for name in (ANNOTATIONS.name, IMAGES.name)
        )
        with pytest.raises(UserError, match=words):
            run(server, tmp_path, archives, domains=["dtd"])
        assert list((tmp_path / "data").iterdir()) == []
        (tmp_path / "downloads" / IMAGES.name).unlink()


def test_the_command(server, tmp_path, said):
    server.files, _ = official()
    argv = ["decathlon", "download", str(tmp_path), "--domains", "dtd", "imagenet12", "--base-url", server.url]
    code, out, err = said(*argv)
    assert code == 2 and err.startswith("error: ") and ANNOTATIONS.sha256 in err and err.count("\n") == 1
    assert err.endswith("download again, or with --accept-other-checksum if you trust the server.\n")
    code, out, err = said(*argv, "--accept-other-checksum")
    assert code == 0 and "resize each to 72 pixels on its shorter side" in out and err == ""
    assert said("decathlon", "check", tmp_path, "--domains", "dtd")[0] == 0


def test_published_values_are_those_of_the_file_beside_the_real_data(decathlon_mini):
    official = json.loads((decathlon_mini / "mean_std.json").read_text())["official"]
    assert set(download.PUBLISHED_MEAN_STD) == set(OFFICIAL_ORDER) <= set(official)
    for domain, (mean, std) in download.PUBLISHED_MEAN_STD.items():
        assert np.allclose([mean, std], [official[domain]["mean"], official[domain]["std"]], atol=1e-8)


# Servers and archives without end


def test_a_server_that_sends_without_end_is_left(tmp_path):
    class Endless(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(bytes(1 << 16))

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/big"
        with pytest.raises(
            UserError, match="sends bytes without end, but the file has 5,000,000 at most, so it is not"
        ):
            fetch(url, tmp_path / "big", limit=5_000_000)
        server.shutdown()
    assert list(tmp_path.iterdir()) == [], "nothing is kept of it"


def test_a_file_that_is_said_to_be_too_long_is_not_begun(server, tmp_path):
    server.files["big"] = bytes(1000)
    with pytest.raises(UserError, match="sends 1,000 bytes, but the file has 999 at most"):
        fetch(f"{server.url}/big", tmp_path / "big", limit=999)
    assert list(tmp_path.iterdir()) == []
    fetch(f"{server.url}/big", tmp_path / "big", limit=1000)
    assert (tmp_path / "big").read_bytes() == bytes(1000)


@pytest.mark.parametrize("accept_other", [False, True])
def test_the_official_size_is_the_limit(server, tmp_path, accept_other):
    """Four times as much where another archive is accepted."""
    server.files, archives = official()
    size = len(server.files[ANNOTATIONS.name])
    small = Archive(ANNOTATIONS.name, size // (4 if accept_other else 1) - 1, archives[0].sha256)
    with pytest.raises(UserError, match=rf"sends {size:,} bytes, but the file has [0-9,]+ at most"):
        run(server, tmp_path, (small, archives[1]), accept_other_checksum=accept_other)
    enough = Archive(ANNOTATIONS.name, -(-size // 4) if accept_other else size, archives[0].sha256)
    run(server, tmp_path, (enough, archives[1]), accept_other_checksum=accept_other)


@pytest.mark.parametrize("base_url", ["http://[::1", "http://127.0.0.1:port", "http://a b", "http://127.0.0.1/\xe4"])
def test_what_is_no_address_is_told(base_url, said, tmp_path):
    code, out, err = said("decathlon", "download", tmp_path, "--base-url", base_url)
    assert (code, out) == (2, "") and err.startswith(
        f"error: {base_url}/{ANNOTATIONS.name} is no address that can be asked ("
    )


def test_an_archive_that_would_fill_the_disk_is_refused(server, tmp_path, monkeypatch):
    """2 MB of zeros became 3 GB: deflate packs them a thousand to one."""
    monkeypatch.setattr(download, "UNPACKED_LEAST", 2**20)
    server.files, archives = official()
    memory = io.BytesIO()
    write_tar(memory, {"dtd.tar": bytes(20_000_000)}, "w:gz")
    server.files[IMAGES.name] = memory.getvalue()
    assert len(memory.getvalue()) < 40_000
    with pytest.raises(UserError, match=r"would unpack to more than 1,[0-9,]+ bytes: it is not the official archive"):
        run(server, tmp_path, archives, domains=["dtd"], accept_other_checksum=True)
    assert list((tmp_path / "data").iterdir()) == []
