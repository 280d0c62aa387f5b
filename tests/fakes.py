# SPDX-License-Identifier: MIT
"""A fake toolchain, a fake tree that "configures" and "builds" with it, and a fake launcher."""

from __future__ import annotations

import os
import sys
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from lab.kernel.arches import ARCHES, Arch
from lab.kernel.toolchain import Toolchain
from lab.source.git import Git, identity
from lab.source.worktree import TreeResult

ARCH: Arch = replace(ARCHES[0], debug_info=False)
"""An architecture whose image needs no strip(1)."""

KCONFIG = """\
mainmenu "toy"

config NET
\tbool "Networking"

source "arch/$(SRCARCH)/Kconfig"

if NET
config INET
\tbool "TCP/IP" # the protocols
\tdepends on FUTEX && (64BIT || \\
\t\tCOMPAT)
\thelp
\t  depends on nothing that is said here.

\t  config NOT_AN_OPTION
endif

config FUTEX
\tbool "Futexes"
\tselect HASH if NET

config HASH
\tbool

menu "Filters"
\tdepends on NET

config FILTER
\tbool "Filter"
\tdepends on $(cc-option,-mfancy)
endmenu

choice
\tprompt "Preemption"
config LAZY
\tbool "Lazy"
config EAGER
\tbool "Eager"
\tdepends on FUTEX if NET
endchoice

config OLD_NAME
\tbool
\ttransitional
"""

MAKE = """\
#!{python}
import os, re, sys, time
args = dict(arg.split("=", 1) for arg in sys.argv[1:] if "=" in arg)
if sys.argv[-1] == "lab-objects":
    where = os.path.join(args["srctree"], args["obj"])
    for name in os.listdir(where):
        path = os.path.join(where, name)
        if os.path.isdir(path):
            print(os.path.join(args["obj"], name, ""))
        elif name.endswith(".c") and "UNBUILT" not in open(path).read():
            print(os.path.join(args["obj"], name[:-2] + ".o"))
    sys.exit()
target, out = sys.argv[-1], args["O"]
with open({log!r}, "a") as log:
    log.write(target + "\\n")
if target == "allnoconfig":
    kept = []
    for line in open(args["KCONFIG_ALLCONFIG"]):
        if not any(name in line for name in os.environ.get("FAKE_DROPS", "").split()):
            kept.append(line)
    open(os.environ["KCONFIG_CONFIG"], "w").writelines(["# made by conf\\n", *kept])
elif target.endswith(".o"):
    status = 0
    for name in (arg for arg in sys.argv[1:] if arg.endswith(".o")):
        made = os.path.join(out, name)
        source = os.path.join(sys.argv[2], name[:-2] + ".c")
        lines = list(enumerate(open(source).read().splitlines(), 1))
        text = " ".join(line for _, line in lines)
        say = lambda word, kind: [
            print(f"{{source}}:{{n}}:1: {{kind}}: {{line}}") for n, line in lines if word in line
        ]
        if not os.path.exists(made):
            say("WARN", "warning")
            say("BROKEN", "error")
            if "BROKEN" in text or "CRASH" in text:
                status = 2
                continue
            os.makedirs(os.path.dirname(made), exist_ok=True)
            open(made, "w").close()
        if args.get("C") == "2":
            say("SPARSE", "warning")
    if "NOCHECK" in os.environ and "C" in args:
        print("Makefile:1: C=2 specified, but sparse is not available or not up to date")
    sys.exit(status)
elif target == "vmlinux":
    source = open(os.path.join(sys.argv[2], "kernel/seccomp.c")).read()
    os.makedirs(os.path.join(out, "include/config"), exist_ok=True)
    print("make[1]: Entering directory")
    for number in range(5):
        print(f"  CC      kernel/part{{number}}.o", flush=True)
    if "SLOW" in source:
        time.sleep(60)
    if "WARN" in source:
        print("kernel/seccomp.c:7:1: warning: unused variable 'x' [-Wunused-variable]")
    if "BROKEN" in source:
        print("kernel/seccomp.c:3:9: error: 'nonsense' undeclared")
        print("    3 |         nonsense;")
        print("      |         ^~~~~~~~")
        print("make[2]: *** [kernel/seccomp.o] Error 1")
        sys.exit(2)
    print("  LD      vmlinux")
    open(os.path.join(out, "vmlinux.o"), "w").close()
    open(os.path.join(out, "vmlinux"), "w").write(source)
    open(os.path.join(out, "include/config/kernel.release"), "w").write("7.3.4-toy\\n")
"""


@dataclass(frozen=True)
class Workshop:
    """A toy tree under git and the fake make that works on it."""

    root: Path
    tree: TreeResult
    toolchain: Toolchain
    build_dir: Path
    log: Path

    @property
    def made(self) -> list[str]:
        """The targets that make was asked for."""
        return self.log.read_text().split() if self.log.exists() else []

    def edit(self, text: str) -> Workshop:
        """Change kernel/seccomp.c without committing."""
        (self.tree.path / "kernel/seccomp.c").write_text(text)
        return replace(self, tree=replace(self.tree, local=("kernel/seccomp.c",)))

    def fragment(self, name: str, text: str) -> Path:
        """A fragment file."""
        path = self.root / name
        path.write_text(textwrap.dedent(text))
        return path


def make_workshop(root: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """Everything that config and build need, none of it real."""
    path = root / "tree"
    files = {
        "Kconfig": KCONFIG,
        "arch/x86/Kconfig": 'config 64BIT\n\tbool "64-bit"\n',
        "arch/x86/Makefile": "",
        "Makefile": "",
        "scripts/empty": "",
        "kernel/seccomp.c": "int seccomp;\n",
    }
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(content)
    git = Git(path)
    git.run("init", "-q", "--template=", ".")
    git.run("add", "-A")
    git.run("commit", "-q", "-m", "toy", env=identity("2026-01-01T00:00:00Z"))
    log = root / "made"
    tools = root / "tools"
    tools.mkdir()
    make = tools / "make"
    make.write_text(MAKE.format(python=sys.executable, log=str(log)))
    make.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    tree = TreeResult(path, git.out("rev-parse", "HEAD"), "series", ())
    toolchain = Toolchain(ARCH, Path("pahole"), {"gcc": "gcc 12"}, None)
    return Workshop(root, tree, toolchain, root / "build", log)


LAUNCHER = """\
import json, os, subprocess, sys, time
run_dir, steps = sys.argv[1], json.loads(sys.argv[2])
share = os.path.join(run_dir, "share")
def append(path, text):
    with open(path, "a") as file:
        file.write(text)
append(os.path.join(run_dir, "console.log"), "[    0.000000] Linux version 7.3.4 (toy)\\n")
for step in steps:
    verb, value = step[0], step[1]
    if verb == "sleep":
        time.sleep(value)
    elif verb == "child":
        # A QEMU that does not hear SIGTERM.
        code = "import signal, time; signal.signal(15, signal.SIG_IGN);"
        code += "print(1, flush=True); time.sleep(99)"
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        child.stdout.readline()
        append(value, str(child.pid))
    elif verb == "say":
        print(value, flush=True)
    elif verb == "exit":
        sys.exit(value)
    elif verb == "status":
        append(os.path.join(share, "status"), str(value))
    elif verb == "on":
        append(os.path.join(share, "signed-on"), "")
    elif verb == "event":
        append(os.path.join(share, "events.ndjson"), json.dumps(value) + "\\n")
    else:
        append(os.path.join(run_dir, verb), value)
"""
"""What the fake launcher does, step by step: ``[verb, value]``; another verb is a log to append to.
"""


def launcher(run_dir: Path, steps: list[tuple[str, object]]) -> list[str]:
    """The command line of a guest that does ``steps``."""
    import json

    return [sys.executable, "-c", LAUNCHER, str(run_dir), json.dumps(steps)]
