"""A terminal without a person: `terminal.py TEXT COMMAND...` runs a command in one until it shows TEXT.

It answers what programs ask a terminal, types nothing, prints the screen's bytes as they came, and ends with 0 if the
text was shown, else with 1 when the command ends. It imports nothing of the tests: it runs in a namespace of its own.
"""

import fcntl
import os
import pty
import re
import signal
import struct
import sys
import termios

_ANSWERS = {
    b"\x1b[6n": b"\x1b[1;1R",  # where is the cursor
    b"\x1b[c": b"\x1b[?62;c",  # what kind of terminal are you
    b"\x1b]10;?": b"\x1b]10;rgb:ffff/ffff/ffff\x1b\\",  # what are your colours
    b"\x1b]11;?": b"\x1b]11;rgb:0000/0000/0000\x1b\\",
}
_CONTROL = re.compile(rb"\x1b\[[0-9;?<>=]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(\x07|\x1b\\)|\x1b.|[\x00-\x1f]")


def _shows(screen: bytes, text: str) -> bool:
    """Return whether the bytes of a screen have a text, which may be drawn word by word."""
    return b"".join(text.encode().split()) in b"".join(_CONTROL.sub(b"", screen).split())


def main(text: str, command: list[str]) -> int:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(command[0], command)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    screen = b""
    shown = False
    while not shown:
        try:
            more = os.read(terminal, 65536)
        except OSError:  # how a terminal says that nobody has it open any more
            break
        screen += more
        for question, answer in _ANSWERS.items():
            if question in more:
                os.write(terminal, answer)
        shown = _shows(screen, text)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    sys.stdout.buffer.write(screen)
    return int(not shown)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
