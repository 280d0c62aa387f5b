# SPDX-License-Identifier: MIT
"""b4 in a fork of the test's process, which has imported it once: its import takes longer than most
of what it does.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NoReturn

import b4.command

from lab.core import proc
from lab.source.b4 import COMMAND

OPTIONS = COMMAND[COMMAND.index("b4.command") + 1 :]


def run(
    command: Sequence[str | os.PathLike[str]],
    *,
    cwd: Path,
    env: Mapping[str, str | None],
    check: bool = True,
) -> proc.Completed:
    """In place of ``proc.run`` for b4. Raises CommandError as that does."""
    words = tuple(map(str, command))
    assert words[: len(COMMAND)] == COMMAND
    started = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if pid == 0:
            _become_b4([*OPTIONS, *words[len(COMMAND) :]], cwd, env, out.fileno(), err.fileno())
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        said, told = map(_text, (out, err))
    done = proc.Completed(words, status, said, told, time.monotonic() - started)
    if check and status:
        raise proc.CommandError(done)
    return done


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "backslashreplace")


def _become_b4(
    words: Sequence[str], cwd: Path, env: Mapping[str, str | None], out: int, err: int
) -> NoReturn:
    status = 1
    try:
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (out, 1), (err, 2)):
            os.dup2(source, target)
        sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w")
        os.chdir(cwd)
        for name, value in env.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        sys.argv = ["b4", *words]
        status = 0
        b4.command.cmd()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
        status = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
