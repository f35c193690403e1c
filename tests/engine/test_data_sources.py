"""Paths, globs and URLs become files; what is packed is unpacked within bounds."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import io
import lzma
import os
import struct
import unicodedata
import zipfile
from pathlib import Path

import fsspec
import polars
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from s3_kit import BUCKET, client

from local_stack.data import archives, sources
from local_stack.errors import Cancelled, InputError, NotFoundError, UnavailableError
from local_stack.results import plain
from local_stack.stores import places

CSV = b"a,b\n1,x\n2,y\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with data in several places."""
    place = tmp_path / "data"
    for name in ("p10.csv", "p9.csv", "p1.csv", ".hidden.csv", "sub/deep/p2.csv", "notes.txt"):
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CSV)
    return place


def memory(files: dict[str, bytes]) -> None:
    store = fsspec.filesystem("memory")
    store.store.clear()
    store.pseudo_dirs[:] = [""]
    for name, data in files.items():
        store.pipe_file(name, data)


def test_a_file_is_itself_with_what_is_known_of_it(folder, scratch):
    (file,) = sources.gather(str(folder / "p1.csv"), scratch)
    assert file.path == folder / "p1.csv"
    assert (file.name, file.size, file.etag, file.compression) == ("p1.csv", len(CSV), None, None)
    assert file.uri == str(folder / "p1.csv")
    assert file.modified_at is not None
    assert file.modified_at.endswith("Z")
    (same,) = sources.gather((folder / "p1.csv").as_uri(), scratch)
    assert same == file
    assert not list(scratch.iterdir())


def test_a_glob_gives_files_in_natural_order_without_hidden_ones(folder, scratch):
    found = sources.gather(str(folder / "*.csv"), scratch)
    assert [file.name for file in found] == ["p1.csv", "p9.csv", "p10.csv"]
    found = sources.gather(str(folder / "**/*.csv"), scratch)
    assert {file.name for file in found} == {"p1.csv", "p9.csv", "p10.csv", "sub/deep/p2.csv"}
    assert [file.name for file in sources.gather(str(folder / ".h*.csv"), scratch)] == [
        ".hidden.csv"
    ]


def test_a_glob_follows_no_links_in_circles(folder, scratch):
    (folder / "sub" / "loop").symlink_to(folder)
    found = sources.gather(str(folder / "**/*.csv"), scratch)
    assert len([file for file in found if file.name == "p1.csv"]) == 1


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tmp_path, scratch):
    odd = tmp_path / "x[1]*.csv"
    odd.write_bytes(CSV)
    (tmp_path / "x1y.csv").write_bytes(CSV)
    (file,) = sources.gather(str(odd), scratch)
    assert file.path == odd


def test_what_is_not_there_a_folder_and_a_pipe_are_sentences(folder, scratch):
    with pytest.raises(NotFoundError, match="no file"):
        sources.gather(str(folder / "absent.csv"), scratch)
    with pytest.raises(NotFoundError, match="No file matches"):
        sources.gather(str(folder / "*.absent"), scratch)
    with pytest.raises(InputError, match="is a folder") as caught:
        sources.gather(str(folder), scratch)
    assert "*.csv" in caught.value.hint
    os.mkfifo(folder / "pipe")
    with pytest.raises(InputError, match="device or a pipe"):
        sources.gather(str(folder / "pipe"), scratch)
    with pytest.raises(InputError, match="NUL"):
        sources.gather("a\0b", scratch)
    with pytest.raises(InputError, match="no such user"):
        sources.gather("~nosuchuser/x.csv", scratch)
    with pytest.raises(InputError, match="not a pattern"):
        sources.gather(str(folder / "a**b" / "*.csv"), scratch)


def test_a_url_is_copied_with_its_time_and_without_its_name_as_a_path(scratch):
    memory({"/box/../odd/x.csv": CSV, "/box/p1.csv": CSV, "/box/p10.csv": CSV, "/box/p2.csv": CSV})
    (file,) = sources.gather("memory://box/p1.csv", scratch)
    assert file.path.parent == scratch
    assert file.path.read_bytes() == CSV
    assert file.uri == "memory://box/p1.csv"
    assert (file.name, file.size) == ("p1.csv", len(CSV))
    assert file.modified_at is not None
    found = sources.gather("memory://box/p*.csv", scratch)
    assert [one.name for one in found] == ["p1.csv", "p2.csv", "p10.csv"]
    assert len({one.path for one in found}) == 3
    with pytest.raises(InputError, match="is a folder"):
        sources.gather("memory://box", scratch)
    with pytest.raises(NotFoundError):
        sources.gather("memory://box/absent.csv", scratch)
    with pytest.raises(NotFoundError):
        sources.gather("memory://box/absent*", scratch)


def test_a_copy_can_be_cancelled_and_leaves_nothing(scratch):
    memory({"/box/big.csv": b"x" * 5_000_000})
    seen = []

    def stop(step):
        seen.append((step.done, step.total))
        if step.done > 1_500_000:
            raise Cancelled()

    with pytest.raises(Cancelled):
        sources.gather("memory://box/big.csv", scratch, progress=stop)
    assert not list(scratch.iterdir())
    assert seen[-1] == (2 * 1024 * 1024, 5_000_000)


def test_an_unknown_scheme_and_a_host_that_is_not_there(scratch):
    with pytest.raises(InputError, match="no file system is known"):
        sources.gather("nosuch://ann:geheim@x/y.csv", scratch)
    with pytest.raises((UnavailableError, NotFoundError)) as caught:
        sources.gather("http://ann:geheim@127.0.0.1:9/y.csv?token=geheim2&id=7", scratch)
    assert "geheim" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://bucket/a.csv", "s3://bucket/a.csv"),
        ("ftp://ann:pa:ss@host/a", "ftp://ann:***@host/a"),
        ("https://h/a?X-Amz-Signature=abc&v=1", "https://h/a?X-Amz-Signature=***&v=1"),
        ("https://h/a?sv=1&sig=a%2Fb", "https://h/a?sv=1&sig=***"),
        ("postgresql+psycopg://u:p%40@h:5/d?password=x", "postgresql+psycopg://u:***@h:5/d?password=***"),
        ("https://h/a?access_token=t#f", "https://h/a?access_token=***#f"),
        ("https://t0ken@h:5/a@b", "https://***@h:5/a@b"),
        ("http://t0ken:@h", "http://***@h"),
        ("https://t0ken:x-oauth-basic@h/p.git", "https://***@h/p.git"),
        ("https://a@b:pw@h/", "https://a@b:***@h/"),
        ("postgresql://ann@h/d", "postgresql://ann@h/d"),
        ("see https://h or ask ann@h", "see https://h or ask ann@h"),
        ("mailbox/a@b:c", "mailbox/a@b:c"),
    ],
)  # fmt: skip
def test_urls_lose_their_secrets(url, shown):
    assert places.redacted(url) == shown


def test_files_of_a_bucket_have_etag_and_time(s3_server, s3_environment, scratch):
    files = client(s3_server.url)
    for name in ("p1", "p10", "p2"):
        files.pipe_file(f"{BUCKET}/tables/{name}.csv", CSV)
    files.pipe_file(f"{BUCKET}/tables/sub/x.csv.gz", gzip.compress(CSV))
    found = sources.gather(f"s3://{BUCKET}/tables/*.csv", scratch)
    assert [file.name for file in found] == ["p1.csv", "p2.csv", "p10.csv"]
    assert {file.etag for file in found} == {hashlib.md5(CSV).hexdigest()}
    assert all(file.modified_at and file.path.read_bytes() == CSV for file in found)
    (packed,) = sources.gather(f"s3://{BUCKET}/tables/**/*.gz", scratch)
    assert (packed.compression, packed.uri) == ("gzip", f"s3://{BUCKET}/tables/sub/x.csv.gz")
    assert sources.unpacked(packed, scratch).read_bytes() == CSV
    entries = sources.entries(f"s3://{BUCKET}/tables")
    assert [(one.name, one.is_folder) for one in entries] == [
        ("sub", True), ("p1.csv", False), ("p2.csv", False), ("p10.csv", False),
    ]  # fmt: skip
    with pytest.raises(NotFoundError):
        sources.gather(f"s3://{BUCKET}/absent.csv", scratch)
    with pytest.raises((NotFoundError, UnavailableError)):
        sources.gather("s3://nosuchbucket/*.csv", scratch)
    with pytest.raises(InputError, match="is a folder"):
        sources.gather(f"s3://{BUCKET}/tables", scratch)


def test_folders_are_listed_first_and_in_natural_order(folder, workspace):
    (folder / "dangling").symlink_to(folder / "nowhere")
    listing = sources.browse(workspace, sources.Location(str(folder)))
    assert [one.name for one in listing.entries] == [
        "sub", ".hidden.csv", "dangling", "notes.txt", "p1.csv", "p9.csv", "p10.csv",
    ]  # fmt: skip
    assert listing.entries[0].is_folder
    assert listing.entries[2].size is None
    assert listing.entries[4].size == len(CSV)
    assert listing.parent == str(folder.parent)
    assert listing.n_entries == 7
    assert len(sources.browse(workspace, sources.Location(str(folder)), limit=2).entries) == 2
    memory({"/box/a.csv": CSV, "/box/sub/b.csv": CSV})
    remote = sources.browse(workspace, sources.Location("memory://box"))
    assert [one.name for one in remote.entries] == ["sub", "a.csv"]
    with pytest.raises(NotFoundError):
        sources.browse(workspace, sources.Location(str(folder / "absent")))
    with pytest.raises(InputError, match="is a file"):
        sources.browse(workspace, sources.Location(str(folder / "p1.csv")))
    with pytest.raises(InputError, match="is a file"):
        sources.browse(workspace, sources.Location("memory://box/a.csv"))


@given(st.text(max_size=300))
def test_labels_are_safe_whatever_the_name(name):
    label = sources.label_of(name)
    assert 0 < len(label) <= 255
    assert not label.startswith("/")
    assert ".." not in label.split("/")
    assert label.encode("utf-8")
    assert not {unicodedata.category(character) for character in label} & {"Cc", "Cf", "Cs", "Zl"}


def test_a_name_that_is_no_text_is_a_label_all_the_same(tmp_path, scratch):
    path = os.fsencode(tmp_path) + b"/\xff\x1b[31m.csv"
    Path(os.fsdecode(path)).write_bytes(CSV)
    (file,) = sources.gather(str(tmp_path / "*.csv"), scratch)
    assert file.name == "\\xff\\x1b[31m.csv"
    plain(file)
    file.uri.encode("utf-8")
    assert [one.name.encode("utf-8") for one in sources.entries(str(tmp_path))]


def zstd(data: bytes) -> bytes:
    return pa.compress(data, codec="zstd", asbytes=True)


def lz4(data: bytes) -> bytes:
    return pa.compress(data, codec="lz4", asbytes=True)


def zipped(**files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


PACKERS = {
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd,
    "lz4": lz4,
    "zip": lambda data: zipped(**{"t.csv": data}),
}


@pytest.mark.parametrize("kind", PACKERS)
def test_packed_files_are_told_by_their_bytes_and_unpacked(kind, tmp_path, scratch):
    data = os.urandom(3_000_000) + CSV
    path = tmp_path / "misleading.csv"
    path.write_bytes(PACKERS[kind](data))
    (file,) = sources.gather(str(path), scratch)
    assert file.compression == kind
    steps = []
    assert sources.unpacked(file, scratch, progress=steps.append).read_bytes() == data
    assert steps[-1].done == len(data)


@pytest.mark.parametrize("kind", PACKERS)
def test_a_cut_or_spoilt_file_is_a_sentence_and_leaves_nothing(kind, tmp_path, scratch):
    packed = PACKERS[kind](os.urandom(200_000))
    for place, data in enumerate(
        (packed[:-20_000], packed[:90_000] + b"\0" * 999 + packed[90_999:])
    ):
        path = tmp_path / f"{place}.bin"
        path.write_bytes(data)
        (file,) = sources.gather(str(path), scratch)
        if kind in ("lz4", "zstd") and place == 1:
            continue  # stored blocks without a checksum: nothing can tell
        with pytest.raises(InputError, match="damaged or cut short"):
            sources.unpacked(file, scratch)
        assert not list(scratch.iterdir())


def test_an_archive_needs_exactly_one_file_and_its_paths_are_never_used(tmp_path, scratch):
    path = tmp_path / "t.zip"
    path.write_bytes(zipped(**{"../../evil.csv": CSV, "__MACOSX/._evil": b"x", "dir/": b""}))
    (file,) = sources.gather(str(path), scratch)
    unpacked = sources.unpacked(file, scratch)
    assert unpacked.parent == scratch
    assert unpacked.read_bytes() == CSV
    for files, words in (
        ({"a.csv": CSV, "b\x1b[31m.csv": CSV}, r"2 files: a.csv, b\\x1b\[31m.csv"),
        ({"dir/": b""}, "without a file"),
    ):
        path.write_bytes(zipped(**files))
        (file,) = sources.gather(str(path), scratch)
        with pytest.raises(InputError, match=words):
            sources.unpacked(file, scratch)


def test_an_encrypted_archive_and_a_double_pack_are_refused(tmp_path, scratch):
    data = bytearray(zipped(**{"a.csv": CSV}))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path = tmp_path / "t.zip"
    path.write_bytes(data)
    (file,) = sources.gather(str(path), scratch)
    with pytest.raises(InputError, match="encrypted"):
        sources.unpacked(file, scratch)
    path.write_bytes(gzip.compress(gzip.compress(CSV)))
    (file,) = sources.gather(str(path), scratch)
    with pytest.raises(InputError, match="packed twice"):
        sources.unpacked(file, scratch)


def test_a_bomb_is_refused_while_it_grows(tmp_path, scratch, monkeypatch):
    monkeypatch.setattr(archives, "FREE_BYTES", 8 * 1024**2)
    path = tmp_path / "bomb.csv.bz2"
    path.write_bytes(bz2.compress(b"\0" * 64 * 1024**2))
    (file,) = sources.gather(str(path), scratch)
    with pytest.raises(InputError, match="bomb"):
        sources.unpacked(file, scratch)
    assert not list(scratch.iterdir())
    path.write_bytes(gzip.compress(os.urandom(12 * 1024**2)))  # large, but no bomb
    (file,) = sources.gather(str(path), scratch)
    assert sources.unpacked(file, scratch).stat().st_size == 12 * 1024**2


def test_the_parts_of_a_workbook_are_measured_whatever_the_archive_says(tmp_path):
    data = bytearray(zipped(**{"xl/workbook.xml": b" " * 5_000_000}))
    place = data.index(b"PK\x01\x02")
    struct.pack_into("<I", data, place + 24, 10)  # the size that the directory tells
    path = tmp_path / "t.xlsx"
    path.write_bytes(data)
    archives.check_members(path, 6_000_000, label="The workbook")
    with pytest.raises(InputError, match="more than 1000000 bytes"):
        archives.check_members(path, 1_000_000, label="The workbook")


def table(kind: str, path: Path) -> None:
    frame = polars.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    if kind == "parquet":
        frame.write_parquet(path)
    elif kind == "arrow":
        frame.write_ipc(path)
    elif kind == "stream":
        frame.write_ipc_stream(path)
    else:
        frame.write_excel(path)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("parquet", "parquet"), ("arrow", "arrow"), ("stream", "arrow"), ("excel", "excel")],
)
def test_formats_are_told_by_their_first_bytes(kind, expected, tmp_path):
    path = tmp_path / "table.csv"
    table(kind, path)
    assert sources.format_of("table.csv", path, None) == expected
    assert sources.format_of("table.csv", path, "csv") == "csv"


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        (b'[{"a": 1}]', "x.csv", "json"),
        (b'\xef\xbb\xbf  [\n {"a": 1}]', "x", "json"),
        ('[{"a": 1}]'.encode("utf-16"), "x", "json"),
        (b'{"a": 1}\n{"a": 2}\n', "x.json", "jsonl"),
        (b'{"a": 1}\n', "x.jsonl", "jsonl"),
        (b'{"a": 1}\n', "x.json", "json"),
        (b'{"a": [1,\n 2]}', "x.json", "json"),
        (b'{\n "a": [1]}', "x", "json"),
        (b'{"a": 1\n{"a": 2}\n', "x.jsonl", "jsonl"),
        (b'{"a": "' + b"y" * 100_000 + b'"}\n{"a": 1}', "x.jsonl", "jsonl"),
        (b"[id],name\n1,x\n", "x.csv", "csv"),
        (b"{a},b\n1,2\n", "x.csv", "csv"),
        (b"[1] a remark\na,b\n", "x.txt", "csv"),
        (b"a,b\n", "x.csv.gz", "csv"),
        (b"a\tb\n", "x.tsv", "csv"),
        (b"hello", "x.parquet", "parquet"),
        (b"hello", "x.PARQUET.zst", "parquet"),
        (b"hello", "x.xlsx", "excel"),
        (b"hello", "x.json.gz", "json"),
        (b"hello", "x.ndjson", "jsonl"),
        (b"hello", "x.feather", "arrow"),
        (b"hello", "parquet", "csv"),
        (b"hello", "dir.json/x", "csv"),
        (b"", "x.json", "json"),
        (b"", "x", "csv"),
    ],
)
def test_formats_are_told_by_content_then_by_name(text, name, expected, tmp_path):
    path = tmp_path / "bytes"
    path.write_bytes(text)
    assert sources.format_of(name, path, None) == expected


def test_the_word_of_a_format_may_be_an_ending_and_a_wrong_one_is_named(tmp_path):
    path = tmp_path / "bytes"
    path.write_bytes(CSV)
    for word, expected in (
        ("XLSX", "excel"),
        ("ndjson", "jsonl"),
        ("tsv", "csv"),
        (".pq", "parquet"),
    ):
        assert sources.format_of("x", path, word) == expected
    with pytest.raises(InputError, match="Did you mean 'parquet'"):
        sources.format_of("x", path, "parket")
    with pytest.raises(InputError, match="One of: csv"):
        sources.format_of("x", path, "qqqqq")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"SQLite format 3\0" + b"\0" * 100, "--sql"),
        (b"\0" * 8 + b"DUCK" + b"\0" * 100, "--sql"),
        (b"<!DOCTYPE html><html><body>Sign in", "a web page"),
        (b"\n <table><tr><td>1</td></tr></table>", "a web page"),
        (b'<?xml version="1.0"?><a/>', "XML"),
        (b"7z\xbc\xaf\x27\x1c" + b"\0" * 40, "7-Zip"),
        (b"%PDF-1.7", "PDF"),
        (b"a.csv" + b"\0" * 252 + b"ustar\x0000" + b"\0" * 100, "tar archive"),
    ],
)
def test_what_is_no_table_is_named(data, words, tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        sources.format_of("x.csv", path, None)
    assert words in str(caught.value)


@given(data=st.binary(max_size=400))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_have_a_format_or_a_sentence(tmp_path, data):
    path = tmp_path / "bytes"
    path.write_bytes(data)
    assert archives.compression(path) in (None, *PACKERS)
    with contextlib.suppress(InputError):
        assert sources.format_of("x", path, None) in sources.FORMATS
