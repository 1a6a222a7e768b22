"""Object code that came with the package, which `fastmlp.engine.prebuilt` wrote."""

import functools
import io
import zipfile
from collections.abc import Iterable
from pathlib import Path

from fastmlp.engine.processor import served_by

FOLDER = Path(__file__).parents[1] / "compiled"


def read(names: Iterable[str]) -> dict[str, bytes]:
    """Return {name: object code} for the names that this machine's archive contains."""
    archive = _archive()
    if archive is None:
        return {}
    found: dict[str, bytes] = {}
    for group, members in grouped(names).items():
        if group in archive.NameToInfo:
            with zipfile.ZipFile(io.BytesIO(archive.read(group))) as codes:
                found |= {name: codes.read(name) for name in members if name in codes.NameToInfo}
    return found


def grouped(names: Iterable[str]) -> dict[str, list[str]]:
    """Group names that differ only in panel widths: these stages are similar, and compressed together take half."""
    groups: dict[str, list[str]] = {}
    for name in names:
        parts = name.split("-")[:-1]  # the last one is a digest
        groups.setdefault("-".join(part for part in parts if not part.isdigit()), []).append(name)
    return groups


@functools.cache
def _archive() -> zipfile.ZipFile | None:
    path = FOLDER / f"{served_by()}.zip"
    return zipfile.ZipFile(path) if path.is_file() else None
