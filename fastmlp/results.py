"""The files that a command writes: checked before anything is computed, written after it."""

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Results = dict[Path, Callable[[Path], object]]
"""Files, and what writes each."""


def check_places(places: Mapping[str, Path | None], sources: Mapping[str, Path | None] | None = None) -> None:
    """Make sure that a file can be written at every place; nothing is left there.

    Parameters
    ----------
    places : mapping of str to path or None
        From the names of options.
    sources : mapping of str to path or None, optional
        Files that must not be overwritten, from what the command line calls them.

    Raises
    ------
    ValueError
        If a place takes no file, is another option's too, or has the ending of no kind of figure.
    """
    taken = {os.path.realpath(path): name for name, path in (sources or {}).items() if path is not None}
    for option, path in places.items():
        if path is None:
            continue
        if not path.parent.is_dir():
            raise ValueError(f"--{option} must be a file in an existing folder, got {path}")
        target = os.path.realpath(path)
        try:
            _try_to_write(Path(target))
        except OSError as error:
            raise ValueError(f"--{option} must be a file that can be written, got {path}: {reason(error)}") from None
        if option == "figure":
            _check_figure_format(path)
        if other := taken.get(target):
            raise ValueError(f"--{option} must not be the file of {other}, got {path}")
        taken[target] = f"--{option}"


def write(results: Results) -> dict[Path, Exception]:
    """Have each result written to its file, whatever becomes of the others, and return the errors."""
    failures = {}
    for path, write_to in results.items():
        try:
            write_to(path)
        except Exception as error:  # drawing may fail in any way, and costs nothing but the figure
            failures[path] = error
    return failures


def write_figure(drawable: Any, path: Path) -> None:
    """Draw without a screen what has a `plot`, in the format that the path's ending names."""
    import matplotlib

    matplotlib.use("agg")
    drawable.plot().figure_.savefig(path, dpi=150, format=_figure_format(path))


def reason(error: Exception) -> str:
    """Return what an error says, without the number and the file of one of the system."""
    return getattr(error, "strerror", None) or str(error)


def _try_to_write(path: Path) -> None:
    """Raise what keeps a file from being written, or replaced by one that was written beside it."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        pass
    else:
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(mode):
            raise OSError("it is there and is no regular file")
        with open(path, "ab"):
            pass
    with tempfile.TemporaryFile(dir=path.parent) as file:
        file.write(bytes(4096))  # which a full disk doesn't take any more


def _check_figure_format(path: Path) -> None:
    os.environ["MPLBACKEND"] = "agg"  # which a notebook may have set to a backend that isn't installed here
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    formats = FigureCanvasAgg.get_supported_filetypes()
    if _figure_format(path) not in formats:
        endings = ", ".join(f".{name}" for name in sorted(formats))
        raise ValueError(f"--figure must end in one of {endings}, got {path}")


def _figure_format(path: Path) -> str:
    return path.suffix[1:].lower() or "png"
