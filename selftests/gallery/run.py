# SPDX-License-Identifier: MIT
"""Run a command under a filter of the gallery.

  python -m selftests.gallery.run --filter exec_once -- make test
  python -m selftests.gallery.run --filter rate_limit --set limited=openat --set limit=9 -- ls
  python -m selftests.gallery.run --list

What the filter logs, decides and has counted goes to standard error. The exit status is the
command's; 125 if this failed, 126 and 127 if the command cannot be executed or is not there.

The kernel has to have the series, SECCOMP_LAB_GUEST names the directory with libbpf.so and the
compiled filters, and the caller may load programs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from selftests.gallery import catalogue, tool
from selftests.gallery.catalogue import BadSetting
from selftests.gallery.records import FORMATS

PLAIN = FORMATS["plain"]


def main(arguments: Sequence[str]) -> int:
    """The exit status."""
    own, command = tool.split(arguments)
    parser = tool.parser("run", __doc__)
    parser.add_argument("--list", action="store_true", help="show the filters, and no more")
    parser.add_argument("--filter", metavar="NAME", help="one of the list")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a parameter of the filter"
    )
    options = parser.parse_args(own)
    if options.list:
        print("\n".join(catalogue.listing()))
        return 0
    if not command or options.filter is None:
        parser.error("--filter NAME and, after --, a command are needed; --list shows the filters")
    try:
        chosen = catalogue.choose(options.filter, options.set)
    except (BadSetting, OSError) as error:
        parser.error(tool.explain(error) if isinstance(error, BadSetting) else str(error))
    return tool.perform(parser.prog, [chosen], command, PLAIN, options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
