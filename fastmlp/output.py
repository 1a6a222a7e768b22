"""A text stream that may break while something more important goes on."""

from typing import Any


class Output:
    """A stream such as standard output that never raises: printing doesn't decide over a training.

    A broken pipe, a full disk or a closed stream is met once and remembered; nothing is written from then on.
    Characters that the stream's encoding lacks are escaped. What isn't defined here is the stream's own.

    Parameters
    ----------
    stream : text stream or None
        None, which `sys.stdout` is in a process without one, takes everything and shows nothing.

    Attributes
    ----------
    error : Exception or None
        What the stream raised first.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.error: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text, if the stream takes it."""
        if self._stream is not None and self.error is None:
            try:
                try:
                    self._stream.write(text)
                except UnicodeEncodeError:
                    self._stream.write(text.encode("ascii", "backslashreplace").decode("ascii"))
            except Exception as error:  # what stands in for standard output raises what it likes
                self.error = error
        return len(text)

    def flush(self) -> None:
        """Hand on what is buffered, if the stream takes it."""
        if self._stream is not None and self.error is None:
            try:
                self._stream.flush()
            except Exception as error:
                self.error = error

    def isatty(self) -> bool:
        """Whether the stream is a terminal that works."""
        try:
            return self.error is None and bool(self._stream.isatty())
        except Exception:
            return False
