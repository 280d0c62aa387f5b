# SPDX-License-Identifier: MIT
"""Show the files that a command opens, as it opens them.

  python -m selftests.gallery.trace -- ls /etc
  python -m selftests.gallery.trace --format json --output opens.json -- make
  python -m selftests.gallery.trace --calls connect,bind -- curl example.org

Each line has the seconds since the start, process, user, call, path and flags; what the call comes
to is not seen. The task never waits: records that were lost for want of room are counted in the
last line. With --calls system calls are logged too, with their arguments.

Exit status and requirements are those of selftests.gallery.run.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from selftests.gallery import catalogue, opened_files, syscall_log, tool
from selftests.gallery.catalogue import BadSetting, Chosen
from selftests.gallery.records import FORMATS


def choose(calls: str | None) -> list[Chosen]:
    """The filters of a trace. The log of calls is installed last, so that it begins with the
    execution. Raises BadSetting; OSError without libseccomp.
    """
    opens = [catalogue.choose(opened_files.NAME)]
    if calls is None:
        return opens
    return [*opens, catalogue.choose(syscall_log.NAME, [f"wanted={calls}"])]


def main(arguments: Sequence[str]) -> int:
    """The exit status."""
    own, command = tool.split(arguments)
    parser = tool.parser("trace", __doc__)
    parser.add_argument("--format", choices=list(FORMATS), default="plain", help="plain by default")
    parser.add_argument("--calls", metavar="NAME[,NAME]", help='system calls as well; "all"')
    options = parser.parse_args(own)
    if not command:
        parser.error("a command is needed, after --")
    try:
        chosen = choose(options.calls)
    except (BadSetting, OSError) as error:
        parser.error(tool.explain(error) if isinstance(error, BadSetting) else str(error))
    return tool.perform(parser.prog, chosen, command, FORMATS[options.format], options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
