"""A build directory need not start empty: another configuration's objects are mostly the same.

kbuild knows of each object which options it depends on (scripts/basic/fixdep.c), and its commands
name no path of the build directory. A copy of a finished build, given another .config, therefore
compiles what the options change and nothing else.
"""

from __future__ import annotations

from pathlib import Path

from lab import proc
from lab.build import LOG, STAMP
from lab.cache import Cache
from lab.config import RECORDS
from lab.ui import Ui

PARTIAL = ".seeding"


def seed(cache: Cache, build_dir: Path, name: str, ui: Ui) -> bool:
    """Put a copy of the build directory ``name``, which is one of the same tree, below the
    configuration in ``build_dir``, if nothing was built in the one yet and the other is whole;
    whether it was done. The caller holds ``build_dir``.

    Raises LabError if the copy fails, for want of space for instance.
    """
    finished = cache.builds / name
    if build_dir == finished or (build_dir / RECORDS / LOG).exists():
        return False
    # Not while somebody builds there.
    with cache.share_entry(finished, f"copied for {build_dir.name}", ui.say):
        if not (finished / RECORDS / STAMP).is_file():
            return False
        ui.say(f"{build_dir.name}: starting from a copy of {name}")
        _copy(finished, build_dir)
    return True


def _copy(finished: Path, build_dir: Path) -> None:
    partial = build_dir.with_name(build_dir.name + PARTIAL)
    proc.run(["rm", "-rf", str(partial)])
    proc.run(["cp", "-a", "--reflink=auto", str(finished), str(partial)])
    # Stamps, log and counts are those of the other configuration.
    proc.run(["rm", "-rf", str(partial / RECORDS)])
    proc.run(["cp", "-a", str(build_dir / RECORDS), str(build_dir / ".config"), str(partial)])
    # make compares it with include/config/auto.conf.
    (partial / ".config").touch()
    proc.run(["rm", "-rf", str(build_dir)])
    partial.rename(build_dir)
