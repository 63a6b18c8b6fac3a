"""Leave the process in time, even if a library's clean-up never returns.

Fast DDS can deadlock while it destroys a subscription at the moment when other participants leave (eProsima/Fast-DDS
issues 6502 and 6193, open; seen here in about one of 300 stops of a whole graph). The thread that is stuck holds
Python's interpreter lock, so no Python code can help: a POSIX timer calls the C library's ``_exit`` in a thread of its
own.
"""

import contextlib
import ctypes
import os
import sys
import threading
from typing import NoReturn

_SIGEV_THREAD = 2
_CLOCK_MONOTONIC = 1


class _SigEvent(ctypes.Structure):
    """``struct sigevent`` of Linux, 64 bit (sigevent(7)): 64 bytes in all."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signo", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("function", ctypes.c_void_p),
        ("attributes", ctypes.c_void_p),
        ("padding", ctypes.c_byte * 32),
    )


class _Timer(ctypes.Structure):
    """``struct itimerspec``: interval, then time to the first expiry, each in seconds and nanoseconds."""

    _fields_ = tuple((name, ctypes.c_long) for name in ("every_s", "every_ns", "first_s", "first_ns"))


def exit_within(seconds: int, code: int) -> None:
    """End the process with ``code`` after ``seconds`` >= 1, unless it has ended by then. It cannot be taken back.

    Raises:
        OSError: the system gives no timer.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    leave = ctypes.cast(libc._exit, ctypes.c_void_p)
    event = _SigEvent(value=code, notify=_SIGEV_THREAD, function=leave)
    timer = ctypes.c_void_p()
    wanted = _Timer(first_s=seconds)
    if libc.timer_create(_CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(timer)) or libc.timer_settime(
        timer, 0, ctypes.byref(wanted), None
    ):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def leave(code: int) -> NoReturn:
    """End the process, once all that is ours is closed. What the libraries would do at their end is left out.

    A node that had said why it would not start ended with SIGSEGV instead of its exit code, once on a busy machine and
    not in 360 tries since; where, is not known. Threads of DDS and ONNX Runtime live on to the end of the process, and
    this leaves nothing that could go away under them.
    """
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # nobody reads any more
            stream.flush()
    ctypes.CDLL(None).fflush(None)  # what rcl logged
    os._exit(code)
