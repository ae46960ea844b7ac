"""The official release, from a server of the test's own."""

import contextlib
import hashlib
import http.server
import io
import os
import socket
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import download
from engine.errors import EngineError

ARCHIVE = f"pulumi-v3.259.0-linux-{'arm64' if os.uname().machine == 'aarch64' else 'x64'}.tar.gz"
CHECKSUMS = "pulumi-3.259.0-checksums.txt"


def release() -> bytes:
    """Pack two programs as a release does: side by side in one folder."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in ("pulumi", "pulumi-language-python"):
            text = f"#!/bin/sh\necho {name}\n".encode()
            member = tarfile.TarInfo(f"pulumi/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
    return packed.getvalue()


@contextlib.contextmanager
def serve(files: dict[str, bytes], *, cut: int = 0) -> Iterator[str]:
    """Serve *files*; the archive breaks off *cut* bytes before the size that was announced."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = files.get(self.path.removeprefix("/"))
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            kept = len(content) - (cut if self.path.endswith(".gz") else 0)
            self.wfile.write(content[:kept])

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Keep the test's output clean."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def listing(content: bytes) -> bytes:
    return f"{hashlib.sha256(content).hexdigest()}  {ARCHIVE}\n{'0' * 64}  other.zip\n".encode()


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}


def leftovers(tmp_path: Path) -> list[str]:
    return [file.name for file in (tmp_path / "ovms-numa" / "engine").glob("*")]


def test_a_release_with_the_right_checksum_is_unpacked_into_the_cache(
    environ: dict[str, str], tmp_path: Path
) -> None:
    content = release()
    with serve({CHECKSUMS: listing(content), ARCHIVE: content}) as base:
        engine = download.obtain(environ, base=base)

    assert (engine.how, engine.version) == ("download", "3.259.0")
    assert engine.bin.is_relative_to(tmp_path)
    assert {file.name for file in engine.bin.iterdir()} == {"pulumi", "pulumi-language-python"}
    assert os.access(engine.bin / "pulumi", os.X_OK)
    assert engine.plugins is not None
    assert engine.plugins.is_dir()


def test_the_second_call_asks_nobody(environ: dict[str, str]) -> None:
    content = release()
    with serve({CHECKSUMS: listing(content), ARCHIVE: content}) as base:
        first = download.obtain(environ | {"ENGINE_DOWNLOAD_URL": base})

    assert download.obtain(environ, base="http://127.0.0.1:1") == first
    assert download.cached(environ) == first


def test_a_wrong_checksum_is_fatal_and_leaves_nothing(
    environ: dict[str, str], tmp_path: Path
) -> None:
    content = release()
    files = {CHECKSUMS: listing(content), ARCHIVE: content + b"x"}
    with serve(files) as base, pytest.raises(EngineError) as refusal:
        download.obtain(environ, base=base)

    assert not isinstance(refusal.value, download.UnreachableError)
    assert hashlib.sha256(content + b"x").hexdigest() in str(refusal.value)
    assert hashlib.sha256(content).hexdigest() in str(refusal.value)
    assert leftovers(tmp_path) == [".lock"]
    assert download.cached(environ) is None


def test_a_download_that_breaks_off_says_so_and_leaves_nothing(
    environ: dict[str, str], tmp_path: Path
) -> None:
    content = release()
    files = {CHECKSUMS: listing(content), ARCHIVE: content}
    with serve(files, cut=10) as base, pytest.raises(EngineError, match="broke off") as refusal:
        download.obtain(environ, base=base)

    assert f"{len(content) - 10} of {len(content)} bytes" in str(refusal.value)
    assert leftovers(tmp_path) == [".lock"]


def test_a_release_without_this_machines_archive_is_an_error(environ: dict[str, str]) -> None:
    files = {CHECKSUMS: b"00  other.tar.gz\n"}
    with serve(files) as base, pytest.raises(EngineError, match=f"no line for {ARCHIVE}"):
        download.obtain(environ, base=base)


@pytest.mark.parametrize("path", ["", "/missing"], ids=["nobody listens", "no such release"])
def test_an_unreachable_release_is_told_apart(environ: dict[str, str], path: str) -> None:
    with serve({}) as base:
        place = base + path if path else "http://127.0.0.1:1"
        with pytest.raises(download.UnreachableError, match="Set ENGINE=build"):
            download.obtain(environ, base=place)


def test_a_server_that_never_answers_costs_seconds(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_REACH_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(download.UnreachableError):
            download.obtain(environ, base=f"http://127.0.0.1:{silent.getsockname()[1]}")

    assert time.monotonic() - began < 10
