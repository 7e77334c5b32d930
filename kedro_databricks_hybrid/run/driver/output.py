"""Send everything that a run prints to its log: this process's text, and the output of its child processes.

`sys.stdout` and `sys.stderr` write to the log at once. Their file descriptors become pipes, for child
processes and for code that bypasses Python's streams. Before each record the pipes are emptied, so that a
child's output stays between what was printed before and after it. Forked processes, such as the workers of
ParallelRunner, send whole records through a third pipe.
"""

from __future__ import annotations

import codecs
import contextlib
import ctypes
import fcntl
import io
import json
import os
import select
import struct
import sys
import termios
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .run_log import RunLog

_READ_BYTES = 65_536
_CATCH_UP = "kedro_databricks_catch_up"  # the attribute by which a run finds the pipes of earlier runs
_HEAD = struct.Struct(">QH?")  # a part of a record: its thread, its length, and whether it is the last


@contextlib.contextmanager
def captured_output(log: RunLog) -> Iterator[None]:
    """Send all output to the run log until the block ends; later output goes where it went before."""
    capture = _Capture(log)
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_stream(capture, name, number) for name, number in _NUMBERS.items())
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
        capture.end()


_NUMBERS = {"stdout": 1, "stderr": 2}


def _stream(capture: _Capture, name: str, number: int) -> Any:  # noqa: ANN401 - a TextIOWrapper with a mode
    errors = "strict" if name == "stdout" else "backslashreplace"
    sink: Any = _Sink(capture, name, number)
    stream: Any = io.TextIOWrapper(sink, encoding="utf-8", errors=errors, write_through=True)
    stream.mode = "w"
    return stream


class _Sink(io.RawIOBase):
    """The binary stream below stdout or stderr, as `python -u` has it: unbuffered."""

    mode = "wb"

    def __init__(self, capture: _Capture, stream: str, number: int) -> None:
        self.name = f"<{stream}>"
        self._capture = capture
        self._stream = stream
        self._number = number
        self._decoder = _decoder()
        self._held = b""

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the descriptor that child processes inherit."""
        return self._number

    def write(self, data: Any) -> int:  # noqa: ANN401 - any buffer
        """Send bytes to the run log; it is in the log's next file, even if the line is incomplete.

        A forked process sends whole lines, as those of several processes would be mixed.
        """
        content = bytes(data)
        if self._capture.log.is_here:
            self._send(content)
        else:
            self._held += content
            if b"\n" in content:
                self.flush()
        return len(content)

    def flush(self) -> None:
        """Send an incomplete line of a forked process."""
        if self._held:
            self._held, content = b"", self._held
            self._send(content)

    def _send(self, content: bytes) -> None:
        if self._capture.has_ended:  # a program kept the stream
            _write_all(self._number, content)
        elif text := self._decoder.decode(content):
            self._capture.log.write(self._stream, text)


class _Capture:
    """The pipes of one run.

    A thread empties them while the run does something else. If a child process outlives the run, such as the
    Java process of Spark, the thread stays and passes its later output on, to the log of the next run.
    """

    def __init__(self, log: RunLog) -> None:
        self.log = log
        self.has_ended = False
        self._lock = threading.RLock()
        self._waiting = select.poll()
        self._takes: dict[int, Callable[[bytes], None]] = {}
        self._saved: dict[int, int] = {}
        found = (getattr(thread, _CATCH_UP, None) for thread in threading.enumerate())
        self._earlier: list[Callable[[], None]] = [each for each in found if each]
        _flush()
        for name, number in _NUMBERS.items():
            entry = self._pipe(_PipedText(self, name, number))
            self._saved[number] = _copy_of(number)
            os.dup2(entry, number)
            os.close(entry)
        self._records = self._pipe(_Parts(log))
        self._entries = {number: os.fstat(number) for number in (*_NUMBERS.values(), self._records)}
        log.catch_up, log.forward = self._catch_up, self._forward
        thread = threading.Thread(target=self._empty, args=[tuple(self._takes)], name="output", daemon=True)
        setattr(thread, _CATCH_UP, self._catch_up)
        thread.start()

    def end(self) -> None:
        """Restore the descriptors, and add what child processes have written so far."""
        _flush()
        self._catch_up()
        for number, saved in self._saved.items():
            os.dup2(saved, number)
            os.close(saved)
        self._catch_up()
        self.log.catch_up = lambda: None
        self.has_ended = True
        os.close(self._records)

    def _pipe(self, take: Callable[[bytes], None]) -> int:
        """Make a pipe whose content goes to a function, and return its entry."""
        end, entry = os.pipe()
        os.set_blocking(end, False)
        self._takes[end] = take
        self._waiting.register(end, select.POLLIN)
        return entry

    def _catch_up(self) -> None:
        """Empty the pipes, first those of earlier runs, which pass on what they hold."""
        for catch_up in self._earlier:
            catch_up()
        with self._lock:
            for end, _ in self._waiting.poll(0):
                self._read(end)

    def _empty(self, ends: tuple[int, ...]) -> None:
        """Empty the pipes when something arrives, until all writers are gone."""
        waiting = select.poll()
        for end in ends:
            waiting.register(end, select.POLLIN)
        left = set(ends)
        while left:
            for end, _ in waiting.poll():
                with self._lock:
                    if self._read(end):
                        continue
                    self._waiting.unregister(end)
                waiting.unregister(end)
                os.close(end)
                left.remove(end)

    def _read(self, end: int) -> bool:
        """Take what is in a pipe; return False if it has no writers any more."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(end, _READ_BYTES):
                self._takes[end](data)
            return False
        return True

    def _forward(self, record: dict[str, Any]) -> None:
        """Send a record from a forked process, in parts: pipes keep only small writes whole.

        Waits until output before the record has been taken, and then the record, as output has other pipes.
        """
        for number in _NUMBERS.values():
            self._wait_until_taken(number)
        content = json.dumps(record, default=str).encode()
        size = select.PIPE_BUF - _HEAD.size
        parts = [content[start : start + size] for start in range(0, len(content), size)]
        with contextlib.suppress(BrokenPipeError):
            for number, part in enumerate(parts, 1):
                head = _HEAD.pack(threading.get_native_id(), len(part), number == len(parts))
                os.write(self._records, head + part)
            self._wait_until_taken(self._records)

    def _wait_until_taken(self, number: int) -> None:
        """Wait until the run's process has read a pipe, at most a second, as other processes may fill it."""
        deadline = time.monotonic() + 1
        with contextlib.suppress(OSError):  # the process closed it
            if not os.path.samestat(os.fstat(number), self._entries[number]):
                return  # the process replaced it
            while _is_filled(number) and time.monotonic() < deadline:
                time.sleep(0.0005)


class _PipedText:
    """Takes what arrives on stdout or stderr from outside Python's streams."""

    def __init__(self, capture: _Capture, stream: str, number: int) -> None:
        self._capture = capture
        self._stream = stream
        self._number = number
        self._decoder = _decoder()

    def __call__(self, data: bytes) -> None:
        if self._capture.has_ended:
            _write_all(self._number, data)
        elif text := self._decoder.decode(data):
            now = round(time.time(), 3)
            record = {"t": now, "event": "output", "stream": self._stream, "text": text}
            self._capture.log.take(record, source=-self._number)


class _Parts:
    """Joins the parts of forked processes' records, and adds the records to the log."""

    def __init__(self, log: RunLog) -> None:
        self._log = log
        self._content = b""
        self._begun: dict[int, bytes] = {}

    def __call__(self, data: bytes) -> None:
        self._content += data
        while len(self._content) >= _HEAD.size:
            thread, length, is_last = _HEAD.unpack_from(self._content)
            end = _HEAD.size + length
            if len(self._content) < end:
                return
            self._begun[thread] = self._begun.get(thread, b"") + self._content[_HEAD.size : end]
            self._content = self._content[end:]
            if is_last:
                self._log.take(json.loads(self._begun.pop(thread)))


def _decoder() -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder("utf-8")("backslashreplace")


def _copy_of(number: int) -> int:
    try:
        return os.dup(number)
    except OSError:  # the process has no such stream
        return os.open(os.devnull, os.O_WRONLY)


def _is_filled(pipe: int) -> bool:
    """Tell whether a pipe that somebody reads has unread bytes."""
    waiting = select.poll()
    waiting.register(pipe, 0)
    if waiting.poll(0):  # POLLERR: nobody reads
        return False
    return any(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))


def _flush() -> None:
    """Write what Python's original streams and C libraries have buffered."""
    for stream in (sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(OSError, ValueError):
            if stream:
                stream.flush()
    ctypes.CDLL(None).fflush(None)


def _write_all(number: int, data: bytes) -> None:
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(number, data) :]
