"""The ``fastmlp`` command."""

import contextlib
import signal
import sys
from collections.abc import Sequence
from importlib import import_module

from fastmlp.cli.parser import make_parser
from fastmlp.cli.process import complain, ignore_interrupts, in_main_thread
from fastmlp.output import Output
from fastmlp.results import reason


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    0; 1 for a bad result or one that could not be written; 2 after one line about a wrong call; 130 after Ctrl-C,
    unless it came during a training whose last whole epoch has been saved.
    """
    output = Output(sys.stdout)
    handler = signal.getsignal(signal.SIGINT)
    try:
        with contextlib.redirect_stdout(output):
            arguments = make_parser().parse_args(argv)
            status = import_module(f"fastmlp.cli.{arguments.command}").run(arguments)
    except SystemExit as end:  # the parser has told everything
        status = int(end.code or 0)
    except KeyboardInterrupt:
        ignore_interrupts()
        complain("interrupted")
        status = 130
    except (ValueError, TypeError, OSError, MemoryError) as error:
        complain(f"error: {error}")
        status = 2
    output.flush()
    if output.error is not None:
        complain(f"error: standard output could not be written: {reason(output.error)}")
        sys.stdout = None  # or the interpreter would try once more when it ends, and show a traceback
        status = status or 1
    if argv is None:
        ignore_interrupts()
    elif in_main_thread():
        signal.signal(signal.SIGINT, handler)
    return status
