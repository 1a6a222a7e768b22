"""Files that appear whole or not at all: their modes, links and names, and what failures and kills leave behind."""

import os
import signal
import stat
import subprocess
import sys
import threading

import pytest
from support.processes import run_python

from fastmlp.files import whole_file

UMASK = """
import os
from fastmlp.files import whole_file

os.umask(0o{mask:o})
with whole_file({path!r}) as file:
    file.write(b"content")
"""
LIMITED = """
import resource
from fastmlp.files import whole_file

resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
try:
    with whole_file({path!r}) as file:
        for _ in range(100):
            file.write(bytes(1 << 12))
except OSError as error:
    print(error.strerror)
"""
KILLED = """
import os, signal
from fastmlp.files import whole_file

with whole_file({path!r}) as file:
    file.write(b"half of it")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def write(path, content=b"content"):
    with whole_file(path) as file:
        file.write(content)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077, 0])
def test_a_new_file_has_the_mode_that_open_would_give(mask, tmp_path):
    path = tmp_path / "file"
    run_python(UMASK.format(path=str(path), mask=mask))
    assert path.read_bytes() == b"content"
    assert mode(path) == 0o666 & ~mask


def test_the_process_never_has_another_umask(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("every thread of the process would write with it"))
    write(tmp_path / "file")


@pytest.mark.parametrize("kept", [0o600, 0o640, 0o644, 0o755])
def test_an_older_file_keeps_its_mode(kept, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"older")
    path.chmod(kept)
    write(path)
    assert path.read_bytes() == b"content"
    assert mode(path) == kept


def test_a_symbolic_link_stays(tmp_path):
    (tmp_path / "there").mkdir()
    target, link, second = tmp_path / "there" / "file", tmp_path / "link", tmp_path / "second"
    target.write_bytes(b"older")
    target.chmod(0o640)
    link.symlink_to("there/file")
    second.symlink_to(link)
    write(second)
    assert link.is_symlink()
    assert second.is_symlink()
    assert target.read_bytes() == b"content"
    assert mode(target) == 0o640
    assert os.listdir(tmp_path / "there") == ["file"]


def test_a_symbolic_link_to_nothing_is_filled(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "file")
    write(link)
    assert link.is_symlink()
    assert (tmp_path / "file").read_bytes() == b"content"


@pytest.mark.parametrize("length", [1, 250, 255])
def test_names_of_any_length(length, tmp_path):
    path = tmp_path / ("n" * length)
    write(path)
    assert path.read_bytes() == b"content"
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt(), GeneratorExit()])
def test_a_failure_leaves_the_older_file_and_nothing_else(error, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"older")

    def write_half():
        with whole_file(path) as file:
            file.write(b"half of it")
            raise error

    with pytest.raises(type(error)):
        write_half()
    assert path.read_bytes() == b"older"
    assert os.listdir(tmp_path) == ["file"]


def test_a_full_disk(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"older")
    assert run_python(LIMITED.format(path=str(path))) == "File too large"
    assert path.read_bytes() == b"older"
    assert os.listdir(tmp_path) == ["file"]


def test_what_a_killed_process_left_is_removed_later(tmp_path):
    path, other = tmp_path / "file", tmp_path / "other.tmp"
    other.write_bytes(b"somebody else's")
    killed = subprocess.run([sys.executable, "-c", KILLED.format(path=str(path))], capture_output=True, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert not path.exists()
    (left,) = set(tmp_path.iterdir()) - {other}
    assert left.read_bytes() == b"half of it"
    write(path)
    assert left.exists()  # whoever writes it may be at work
    long_ago = left.stat().st_mtime - 7200
    for entry in tmp_path.iterdir():
        os.utime(entry, (long_ago, long_ago))
    write(path)
    assert set(tmp_path.iterdir()) == {path, other}


def test_a_file_is_on_disk_before_and_after_it_takes_the_place(tmp_path, monkeypatch):
    """First its content, then, with its folder, its name: whenever the power fails, one of both is whole."""
    path, done = tmp_path / "file", []
    path.write_bytes(b"older")
    sync, replace = os.fsync, os.replace

    def record_sync(descriptor):
        inode = os.fstat(descriptor)
        done.append("folder" if stat.S_ISDIR(inode.st_mode) else f"{inode.st_size} bytes")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", record_sync)
    monkeypatch.setattr(os, "replace", lambda old, new: (done.append("name"), replace(old, new)))
    write(path)
    assert done == ["7 bytes", "name", "folder"]


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(IsADirectoryError, match=str(tmp_path)), whole_file(tmp_path):
        pytest.fail("nothing can be written")
    assert os.listdir(tmp_path) == []


def test_an_error_names_the_file_that_was_asked_for(tmp_path):
    path = tmp_path / "missing" / "file"
    with pytest.raises(FileNotFoundError, match=r"missing/file'$"), whole_file(path):
        pytest.fail("nothing can be written")


def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read = []
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    write(path)
    reader.join(30)
    assert read == [b"content"]
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert os.listdir(tmp_path) == ["pipe"]


def test_two_writers_at_once(tmp_path):
    path = tmp_path / "file"
    with whole_file(path) as first, whole_file(path) as second:
        first.write(b"first")
        second.write(b"second")
    assert path.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["file"]
