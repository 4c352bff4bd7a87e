"""Kit for plugins in Python.

`reported` makes the author read what an uncaught exception said and where it was raised. What is printed goes to the
log, since a plugin has no standard output. The world must import `sigpersist:hooks/log@1.1.0`.
"""

import functools
import sys

from componentize_py_types import Err
from wit_world.imports import log

MAX_FRAMES = 8


def reported(interface):
    """Decorates a class that implements an interface.

    An exception that is no rejection ends the call, after its message and stack went to the log. The server shows the last
    logged error as the reason of the hook's failure.
    """
    for name, function in list(vars(interface).items()):
        if callable(function) and not name.startswith("_"):
            setattr(interface, name, _reported(function))
    return interface


def _reported(function):
    @functools.wraps(function)
    def call(*values):
        sys.stdout, sys.stderr = _Log(log.Level.INFO), _Log(log.Level.WARN)
        try:
            return function(*values)
        except Err as error:
            if _is_rejection(error.value):
                raise
            _stop(error, f"Err: {error.value}")
        except BaseException as error:
            _stop(error, f"{type(error).__name__}: {error}")

    return call


def _is_rejection(value):
    """A tagger raises one rejection, a validator a list of them."""
    return all(type(one).__name__ == "Rejection" for one in (value if isinstance(value, list) else [value]))


def _stop(error, message):
    # The module `traceback` would look for source files, which a plugin can't read.
    frames, frame = [], error.__traceback__.tb_next
    while frame:
        code = frame.tb_frame.f_code
        frames.append(f"at {code.co_qualname} ({code.co_filename}:{frame.tb_lineno})")
        frame = frame.tb_next
    log.write(log.Level.ERROR, ", ".join([f"uncaught {message}", *frames[: -MAX_FRAMES - 1 : -1]]))
    raise error


class _Log:
    """A standard stream whose lines go to the log."""

    def __init__(self, level):
        self.level = level
        self.line = ""

    def write(self, text):
        *lines, self.line = (self.line + text).split("\n")
        for line in lines:
            log.write(self.level, line)
        return len(text)

    def flush(self):
        if self.line:
            log.write(self.level, self.line)
            self.line = ""
