"""Ctrl-C, SIGTERM and a closed terminal: the first asks the command to stop in order, a second ends it at once."""

import os
import signal
import stat
import sys
from typing import NoReturn

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SHOW_CURSOR = b"\x1b[?25h"


def stop_on_signals() -> None:
    """From now on raise KeyboardInterrupt at the first signal to stop. What the caller has ignored stays so: nohup."""
    for number in _STOPS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def _stop(number: int, _frame: object) -> NoReturn:
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, _leave)
    if number == signal.SIGHUP:
        # Printing to a terminal that is gone would be an error. The signal comes twice, from shell and kernel.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            if stat.S_ISCHR(os.fstat(stream.fileno()).st_mode):  # isatty() is false of a terminal that is gone
                os.dup2(nowhere, stream.fileno())
    raise KeyboardInterrupt


def _leave(_number: int, _frame: object) -> NoReturn:
    # Nothing need be put in order: the journal is, and the sandboxes end with us.
    if sys.stdout.isatty():
        os.write(sys.stdout.fileno(), _SHOW_CURSOR)
    os._exit(130)
