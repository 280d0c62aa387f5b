# SPDX-License-Identifier: MIT
"""What ``run`` and ``trace`` have in common: their command line's shape, and where the records go.

Options come first, then ``--`` and the command. The exit status is the command's, 128 and more if a
signal ended it; 125 if the tool itself failed, 126 if the command cannot be executed, 127 if there
is none.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO

from selftests.gallery.catalogue import BadSetting, Chosen
from selftests.gallery.launch import FAILED, Ended, LaunchError, launch
from selftests.gallery.records import Format, described


class Parser(argparse.ArgumentParser):
    """Wrong usage has the exit status of a tool that failed: 2 could be the command's own."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(FAILED, f"{self.prog}: {message}\n")


def parser(name: str, text: str | None) -> Parser:
    """A parser with the options that both have."""
    made = Parser(
        prog=f"python -m selftests.gallery.{name}",
        usage="%(prog)s [OPTION]... -- COMMAND [ARGUMENT]...",
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("--output", type=Path, metavar="FILE", help="write there, not to stderr")
    made.add_argument("--directory", metavar="DIR", help="where COMMAND runs, if not here")
    return made


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The options, and the command after the first ``--``."""
    given = list(arguments)
    at = given.index("--") if "--" in given else len(given)
    return given[:at], given[at + 1 :]


class Teller:
    """Writes records as they come, each batch at once. An output that fails is told of once."""

    def __init__(self, stream: TextIO, form: Format) -> None:
        self._stream = stream
        self._form = form
        self.failure: OSError | None = None
        if form.header:
            self._write([form.header])

    def tell(self, records: Sequence[Any], start: int) -> None:
        """Some more records."""
        self._write([self._form.line(described(record), start) for record in records])

    def end(self, chosen: Sequence[Chosen], ended: Ended) -> None:
        """What each filter has counted."""
        rows = zip(chosen, ended.told, ended.counters, strict=True)
        self._write(
            [
                self._form.end(
                    one.filter.name, told, dict(zip(one.filter.counts, words, strict=True))
                )
                for one, told, words in rows
            ]
        )

    def _write(self, lines: Sequence[str]) -> None:
        if self.failure is not None:
            return
        try:
            self._stream.write("".join(f"{line}\n" for line in lines))
            self._stream.flush()
        except OSError as error:
            # The command goes on: it has nothing to do with it.
            self.failure = error


@contextlib.contextmanager
def _opened(path: Path | None) -> Iterator[TextIO]:
    if path is None:
        yield sys.stderr
        return
    with path.open("w", encoding="utf-8", errors="backslashreplace") as stream:
        yield stream


def perform(
    prog: str,
    chosen: Sequence[Chosen],
    command: Sequence[str],
    form: Format,
    options: argparse.Namespace,
) -> int:
    """Run the command under the filters and tell of it; the exit status."""
    try:
        with _opened(options.output) as stream:
            if options.directory:
                os.chdir(options.directory)
            teller = Teller(stream, form)
            ended = launch(chosen, command, teller.tell)
            teller.end(chosen, ended)
        if teller.failure is not None:
            raise teller.failure
    except LaunchError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return error.status
    except OSError as error:
        with contextlib.suppress(OSError):
            print(f"{prog}: {error}", file=sys.stderr)
        return FAILED
    return ended.status


def explain(error: BadSetting) -> str:
    """A wrong setting as one paragraph."""
    return f"{error.message} {error.hint}".rstrip()
