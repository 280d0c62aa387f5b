# SPDX-License-Identifier: MIT
"""The guest's files: made once, in place whole or not at all. The compilers are fakes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lab.core.cache import Cache
from lab.errors import LabError
from lab.host import container_profile, tools
from lab.kernel import userspace
from lab.kernel.toolchain import find_toolchain
from lab.kernel.userspace import GuestArtifacts, GuestRequest, ensure_guest
from tests.fakes import ARCH, Workshop, make_workshop
from tests.support import Recorder

COMPILER = """\
#!/bin/sh
case "$*" in *-print-resource-dir*) echo /clang; exit;; esac
for last; do
	[ "$previous" = -o ] && output=$last
	case $last in *.c) source=$last ;; esac
	previous=$last
done
if grep -q BROKEN "$source"; then echo "$source:1:1: error: broken" >&2; exit 1; fi
echo "$0 $*" >> {log}
cp "$source" "$output"
"""

MAKE = """\
#!/bin/sh
echo "$*" >> {log}
for argument; do case $argument in OUTPUT=*) out=${{argument#OUTPUT=}} ;; esac; done
[ -n "$out" ] || exit 0
mkdir -p "$out"; echo lib > "$out/libbpf.so"; echo > "$out/bpf_helper_defs.h"
"""


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = make_workshop(tmp_path, monkeypatch)
    for name, text in (("clang", COMPILER), ("gcc", COMPILER), ("make", MAKE)):
        path = made.root / "tools" / name
        path.write_text(text.format(log=made.log))
        path.chmod(0o755)
    for sample in userspace.SAMPLES:
        for name in (sample.user, sample.bpf):
            (made.tree.path / name).parent.mkdir(parents=True, exist_ok=True)
            (made.tree.path / name).write_text("sample\n")
    filters, native = tmp_path / "bpf", tmp_path / "native"
    for directory, name in ((filters, "one.bpf.c"), (native, "tool.c")):
        directory.mkdir()
        (directory / name).write_text("good\n")
    monkeypatch.setattr(userspace, "FILTERS", (filters,))
    monkeypatch.setattr(userspace, "NATIVE", native)
    monkeypatch.setattr(tools, "command", lambda *_: "clang")
    profile = tmp_path / "profile.json"
    profile.write_text("{}")
    monkeypatch.setenv(container_profile.ENVIRONMENT, str(profile))
    monkeypatch.setattr(
        container_profile, "translations", lambda path, *_: {"made": f"of {path.read_text()}"}
    )
    return made


@pytest.fixture
def guest(workshop: Workshop, cache: Cache) -> Callable[[str], GuestArtifacts]:
    def make(kind: str = "series") -> GuestArtifacts:
        tree = replace(workshop.tree, kind=kind)
        ui = Recorder().ui
        translated = userspace.translate(tree, ARCH, cache, ui)
        request = GuestRequest(
            tree, ARCH, workshop.build_dir, workshop.toolchain, cache, translated, 1
        )
        return ensure_guest(request, ui)

    return make


def test_a_set_is_made_once(workshop: Workshop, guest: Callable[[], GuestArtifacts]) -> None:
    first = guest()
    made = workshop.log.read_text()
    assert guest() == first
    assert workshop.log.read_text() == made
    assert first.files == (
        "container_profile.json",
        "libbpf.so",
        "libbpf.so.1",
        "made.bpf.c",
        "made.bpf.o",
        "one.bpf.o",
        "test_seccomp",
        "test_seccomp.bpf.o",
        "tool",
    )


def test_where_a_set_is_made_is_not_in_it(
    workshop: Workshop, guest: Callable[[], GuestArtifacts]
) -> None:
    guest()
    (line,) = (line for line in workshop.log.read_text().splitlines() if "/made.bpf.c" in line)
    words = line.split()
    place = Path(words[words.index("-c") + 1]).parent
    assert f"-ffile-prefix-map={place}=." in words


def test_the_base_has_no_sample(guest: Callable[[str], GuestArtifacts]) -> None:
    assert "test_seccomp" not in guest("base").files


def test_a_changed_filter_makes_a_new_set_and_leaves_the_old(
    workshop: Workshop, guest: Callable[[], GuestArtifacts]
) -> None:
    first = guest()
    (workshop.root / "bpf/one.bpf.c").write_text("changed\n")
    second = guest()
    assert first.directory.is_dir()
    assert (second.directory / "one.bpf.o").read_text() == "changed\n"
    # Headers and libbpf are not made again for a filter.
    assert workshop.log.read_text().count("headers") == 1


def test_another_container_profile_makes_a_new_set(
    workshop: Workshop, guest: Callable[[], GuestArtifacts]
) -> None:
    first = guest()
    (workshop.root / "profile.json").write_text("[]")
    second = guest()
    assert (first.directory / "made.bpf.o").read_text() == "of {}"
    assert (second.directory / "made.bpf.o").read_text() == "of []"
    assert (second.directory / "container_profile.json").read_text() == "[]"


def test_a_filter_that_does_not_compile_leaves_nothing(
    workshop: Workshop, guest: Callable[[], GuestArtifacts]
) -> None:
    (workshop.root / "bpf/one.bpf.c").write_text("BROKEN\n")
    with pytest.raises(LabError, match=r"one.bpf.c does not compile:\n.*error: broken"):
        guest()
    assert list((workshop.build_dir / "guest").iterdir()) == []


def make_sets(
    workshop: Workshop, guest: Callable[[], GuestArtifacts], seconds_ago: float
) -> tuple[list[Path], Path]:
    """Some sets, each made that long ago but the last; what is left, and the last."""
    for number in range(userspace.KEPT_SETS + 2):
        (workshop.root / "bpf/one.bpf.c").write_text(f"{number}\n")
        last = guest().directory
        then = last.stat().st_mtime - seconds_ago
        os.utime(last, (then, then))
    return list((workshop.build_dir / "guest").iterdir()), last


def test_old_sets_are_forgotten(workshop: Workshop, guest: Callable[[], GuestArtifacts]) -> None:
    left, last = make_sets(workshop, guest, 2 * userspace.IN_USE_SECONDS)
    assert len(left) == userspace.KEPT_SETS
    assert last in left


def test_a_set_that_a_guest_may_run_on_stays(
    workshop: Workshop, guest: Callable[[], GuestArtifacts]
) -> None:
    left, _ = make_sets(workshop, guest, 60)
    assert len(left) == userspace.KEPT_SETS + 2


def test_ccache_takes_the_compilers_place_in_path_only(
    workshop: Workshop, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("gcc", "ld", "pahole", "ccache"):
        path = workshop.root / "tools" / name
        path.write_text("#!/bin/sh\necho version 1\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{workshop.root / 'tools'}:/usr/bin:/bin")
    arch = replace(ARCH, name="none", cross_compile="")
    made = find_toolchain(arch, Path("pahole"), cache)
    assert made.ccache is not None
    assert (made.ccache / "gcc").readlink() == workshop.root / "tools/ccache"
    assert str(made.environment["PATH"]).startswith(f"{made.ccache}:")
    assert not any("ccache" in argument for argument in made.make_args)
    (workshop.root / "tools/ccache").unlink()
    monkeypatch.setenv("PATH", str(workshop.root / "tools"))
    plain = find_toolchain(arch, Path("pahole"), cache)
    assert plain.ccache is None
    assert plain.key == made.key
