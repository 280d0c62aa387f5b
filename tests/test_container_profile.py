# SPDX-License-Identifier: MIT
"""A container runtime's profile: the file itself, and what is read from it."""

from __future__ import annotations

import copy
import errno
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab.core.cache import Cache
from lab.errors import LabError, Unavailable, UsageError
from lab.host import container_profile
from lab.host.apt import Package, PrivateApt
from selftests.gallery import calls
from selftests.gallery.container_profile_json import (
    Condition,
    Container,
    Profile,
    ProfileError,
    read,
    select,
)
from selftests.gallery.container_profile_rules import around
from selftests.gallery.container_profile_source import source
from tests.support import Recorder, need_dpkg

PLAIN = Container("SCMP_ARCH_X86_64", frozenset(), (7, 3))
ERRNO, ALLOW = 0x00050000, 0x7FFF0000

DOCUMENT: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 38,
    "defaultErrno": "ENOSYS",
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X32"]}],
    "syscalls": [
        {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW", "args": None},
        {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_BPF"]}},
        {"names": ["bpf"], "action": "SCMP_ACT_ERRNO", "excludes": {"caps": ["CAP_BPF"]}},
        {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
        {"names": ["breakpoint"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
        {"names": ["socket"], "action": "SCMP_ACT_ALLOW",
         "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"},
                  {"index": 2, "value": 7, "valueTwo": 5, "op": "SCMP_CMP_MASKED_EQ"}]},
        {"names": ["kcmp"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
    ],
}  # fmt: skip


def verdicts(profile: Profile) -> dict[str, int]:
    return {rule.name: rule.action for rule in profile.rules}


def test_entries_are_for_the_container_that_they_say() -> None:
    plain = select(DOCUMENT, PLAIN)
    assert plain.default == ERRNO | errno.ENOSYS
    assert plain.arches == ("SCMP_ARCH_X86_64", "SCMP_ARCH_X32")
    assert verdicts(plain) == {
        "read": ALLOW, "write": ALLOW, "bpf": ERRNO | errno.EPERM, "ptrace": ALLOW, "socket": ALLOW,
    }  # fmt: skip
    powerful = select(DOCUMENT, Container("SCMP_ARCH_AARCH64", frozenset({"CAP_BPF"}), (4, 7)))
    assert verdicts(powerful) == {
        "read": ALLOW, "write": ALLOW, "bpf": ALLOW, "breakpoint": ALLOW, "socket": ALLOW,
    }  # fmt: skip
    assert powerful.arches == ("SCMP_ARCH_AARCH64",)


def test_conditions_are_one_rule_unless_they_are_about_one_argument() -> None:
    document = copy.deepcopy(DOCUMENT)
    (both,) = (rule.conditions for rule in select(document, PLAIN).rules if rule.name == "socket")
    assert both == (
        Condition(0, "SCMP_CMP_EQ", 1),
        Condition(2, "SCMP_CMP_MASKED_EQ", 5, mask=7),
    )
    document["syscalls"][5]["args"][1]["index"] = 0
    each = [rule.conditions for rule in select(document, PLAIN).rules if rule.name == "socket"]
    assert each == [(Condition(0, "SCMP_CMP_EQ", 1),), (Condition(0, "SCMP_CMP_MASKED_EQ", 5, 7),)]


@pytest.mark.parametrize(("path", "value", "said"), [
    (["defaultAction"], "ALLOW", 'defaultAction of the profile is "ALLOW"; known: SCMP_ACT_KILL'),
    (["defaultErrno"], "ENONSENSE", 'defaultErrno of the profile is "ENONSENSE"'),
    (["architectures"], ["SCMP_ARCH_X86"], "it is one or the other"),
    (["syscalls"], {}, "syscalls of the profile is {}, not a list"),
    (["syscalls", 0], 7, r"syscalls\[0\] is 7, not an object"),
    (["syscalls", 0, "names"], [], r"syscalls\[0\] has no names"),
    (["syscalls", 0, "names"], [7], r"names of syscalls\[0\] is 7, not a string"),
    (["syscalls", 0, "action"], None, r"action of syscalls\[0\] \(read, write\) is null; known: "),
    (["syscalls", 0, "action"], ["A"], r'action of syscalls\[0\] \(read, write\) is \["A"\]; '),
    (["syscalls", 5, "args", 0, "op"], {}, r"op of args\[0\] of .*\(socket\) is {}; known: "),
    (["syscalls", 6, "errnoRet"], 4096, r"errnoRet of .*kcmp\) is 4096, not from 0 to 4095"),
    (["syscalls", 5, "args", 0, "op"], "==", r'op of args\[0\] of .*\(socket\) is "=="; known: '),
    (["syscalls", 5, "args", 0, "index"], 6, r"index of args\[0\] of .* is 6, not from 0 to 5"),
    (["syscalls", 5, "args", 1, "value"], -1, r"value of args\[1\] of .* is -1, not from 0"),
    (["syscalls", 5, "args", 1, "value"], True, r"value of args\[1\] of .* is true, not a number"),
    (["syscalls", 3, "includes", "minKernel"], "new", r'minKernel of .* is "new", not like 4.8'),
    (["syscalls", 1, "includes", "caps"], "CAP_BPF", r'caps of .*\(bpf\) is "CAP_BPF", not a list'),
])  # fmt: skip
def test_a_mistake_is_named_with_its_entry(path: list[Any], value: Any, said: str) -> None:
    document = copy.deepcopy(DOCUMENT)
    at: Any = document
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    with pytest.raises(ProfileError, match=said):
        select(document, PLAIN)


def test_a_file_that_is_not_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    path.write_text("{")
    with pytest.raises(ProfileError, match=r"profile.json is not JSON: .*line 1"):
        read(path, PLAIN)
    with pytest.raises(UsageError, match=r"No filter can be made of this profile: .*not JSON"):
        container_profile.translations(path, "7.3.4", "x86_64")


@pytest.fixture
def numbers(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Calls with these numbers on each architecture; libseccomp is not asked."""
    known = {"read": 0, "write": 1, "bpf": 321, "ptrace": 101, "socket": 41}
    monkeypatch.setattr(
        calls, "arch_token", lambda arch: 0xC000003E if "64" in arch else 0x4000003E
    )
    monkeypatch.setattr(calls, "number_of", lambda name, _: known.get(name))
    return known


@pytest.mark.usefixtures("numbers")
def test_the_source_is_a_switch_with_conditions() -> None:
    text = source(select(DOCUMENT, PLAIN), PLAIN)
    assert "\tcase 0: /* read */\n\tcase 1: /* write */\n" in text
    assert (
        "\tcase 41: /* socket */\n"
        "\t\tif (ctx->args[0] == 0x1 && (ctx->args[2] & 0x7) == 0x5)\n"
        "\t\t\treturn SECCOMP_RET_ALLOW;\n"
        "\t\tbreak;\n"
    ) in text
    assert "(__u32)ctx->args[0] == 0x1 && ((__u32)ctx->args[2] & 0x7) == 0x5" in text
    assert "\treturn FAIL(38 /* ENOSYS */);" in text


@pytest.mark.usefixtures("numbers")
@pytest.mark.parametrize(("name", "text"), [
    ("KILL", "SECCOMP_RET_KILL_THREAD"), ("KILL_PROCESS", "SECCOMP_RET_KILL_PROCESS"),
    ("TRAP", "SECCOMP_RET_TRAP"), ("NOTIFY", "SECCOMP_RET_USER_NOTIF"), ("LOG", "SECCOMP_RET_LOG"),
    ("TRACE", "SECCOMP_RET_TRACE | 1"), ("ERRNO", "FAIL(1 /* EPERM */)"),
])  # fmt: skip
def test_each_action_is_what_the_kernel_calls_it(name: str, text: str) -> None:
    rows = [{"names": ["read"], "action": f"SCMP_ACT_{name}"}]
    document = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rows}
    assert f"case 0: /* read */\n\t\treturn {text};" in source(select(document, PLAIN), PLAIN)


@pytest.mark.usefixtures("numbers")
def test_conditions_that_contradict_each_other_are_refused() -> None:
    def row(op: str, code: int) -> dict[str, Any]:
        args = [{"index": 0, "value": 16, "op": f"SCMP_CMP_{op}"}]
        return {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": code, "args": args}

    def translate(*rows: dict[str, Any]) -> str:
        document = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rows}
        return source(select(json.loads(json.dumps(document)), PLAIN), PLAIN)

    assert translate(row("LE", 1), row("GT", 2))
    with pytest.raises(ProfileError, match=r"socket: syscalls\[0\] .* and syscalls\[1\] .*contra"):
        translate(row("LE", 1), row("GE", 2))


def test_both_sides_of_a_condition_are_asked_about() -> None:
    for operator in ("NE", "LT", "LE", "EQ", "GE", "GT"):
        for value in (1, 9, 2**32, 2**64 - 2):
            one = Condition(0, f"SCMP_CMP_{operator}", value)
            assert {one.holds(argument, 64) for argument in around([one])} == {True, False}
    masked = Condition(0, "SCMP_CMP_MASKED_EQ", 1 << 40, mask=1 << 40 | 1)
    outcomes = {argument & masked.mask: masked.holds(argument, 64) for argument in around([masked])}
    assert outcomes == {0: False, 1: False, 1 << 40: True, 1 << 40 | 1: False}


def test_an_architecture_that_is_not_translated_is_named() -> None:
    whose = Container("SCMP_ARCH_S390X", frozenset(), (7, 3))
    with pytest.raises(ProfileError, match="SCMP_ARCH_S390X is not translated; what is: "):
        source(select({"defaultAction": "SCMP_ACT_ALLOW"}, whose), whose)


# Where it comes from


def make_package(directory: Path) -> Path:
    need_dpkg()
    inside = directory / "stage" / "usr" / "share" / "containers"
    inside.mkdir(parents=True)
    (inside / "seccomp.json").write_text("{}")
    (directory / "stage" / "DEBIAN").mkdir()
    (directory / "stage" / "DEBIAN" / "control").write_text(
        "Package: toy\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.org>\n"
        "Description: toy\n"
    )
    command = ["dpkg-deb", "--build", str(directory / "stage"), str(directory / "p.deb")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return directory / "p.deb"


class FakeApt:
    """An archive that has the package, or not."""

    def __init__(self, deb: Path | None, directory: Path) -> None:
        self.deb, self.directory = deb, directory

    def for_suites(self, cache: Cache, name: str, suites: tuple[str, ...]) -> FakeApt:
        del cache
        if self.deb is None:
            raise Unavailable(f"This machine's apt has no {name.capitalize()} mirror.")
        assert suites
        return self

    def update(self, ui: object) -> None:
        del ui

    def versions(self, package: str) -> tuple[Package, ...]:
        return (Package(package, "1", "digest"),)

    def download(self, package: Package, target: Path, ui: object) -> Path:
        del ui, target
        assert package.name == container_profile.PACKAGE
        assert self.deb is not None
        return self.deb


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A host without a profile; where it would be."""
    monkeypatch.delenv(container_profile.ENVIRONMENT, raising=False)
    place = tmp_path / "seccomp.json"
    monkeypatch.setattr(container_profile, "HOST", place)
    return place


def use(apt: FakeApt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PrivateApt, "for_suites", apt.for_suites)


def test_the_hosts_profile_is_taken_and_one_that_is_named_first(
    bare: Path, tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare.write_text("{}")
    assert container_profile.provide(cache, Recorder().ui) == bare
    other = tmp_path / "other.json"
    monkeypatch.setenv(container_profile.ENVIRONMENT, str(other))
    with pytest.raises(UsageError, match="that is no file"):
        container_profile.provide(cache, Recorder().ui)
    other.write_text("{}")
    assert container_profile.provide(cache, Recorder().ui) == other


@pytest.mark.usefixtures("bare")
def test_a_host_without_one_gets_that_of_the_package_once(
    tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(FakeApt(make_package(tmp_path), tmp_path), monkeypatch)
    own = container_profile.provide(cache, Recorder().ui)
    assert own == container_profile.private(cache)
    assert own.read_text() == "{}"
    use(FakeApt(None, tmp_path), monkeypatch)
    assert container_profile.provide(cache, Recorder().ui) == own


@pytest.mark.usefixtures("bare")
def test_a_host_that_cannot_have_one_is_told_what_to_install(
    tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(FakeApt(None, tmp_path), monkeypatch)
    with pytest.raises(LabError, match=r"no Debian mirror.*no Ubuntu mirror") as raised:
        container_profile.provide(cache, Recorder().ui)
    assert container_profile.ENVIRONMENT in raised.value.hint
