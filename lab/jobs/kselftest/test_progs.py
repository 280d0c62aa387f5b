# SPDX-License-Identifier: MIT
"""selftests/bpf: its runner ``test_progs``, built of a few files, and what the runner prints.

The whole has a thousand BPF programs, of which many want a newer clang, a kernel with modules, and
an hour of time; and its Makefile writes into the source tree. So what is needed is copied, and of
the tests only those that a suite names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from lab.core import proc
from lab.core.stamp import digest_of
from lab.host import tools
from lab.jobs.kselftest import ktap
from lab.jobs.kselftest.suites import ProgFile, Program, Suite
from lab.kernel.pipeline import Kernel
from lab.kernel.userspace import GuestRequest
from lab.source.git import Git
from lab.source.state import source_digest

BPF = Path("tools/testing/selftests/bpf")
TESTS, PROGS = "prog_tests", "progs"
RUNNER = "test_progs"
SOURCE = "source"
"""Below the output directory: the copy of what is built."""

SOURCES = (
    *(f"tools/{name}" for name in ("arch", "bpf", "build", "include", "lib", "scripts")),
    str(BPF),
    "tools/testing/selftests/*.mk",
    "tools/testing/selftests/*.h",
    "include/uapi",
    "kernel/bpf/disasm.[ch]",
    "scripts/bpf_doc.py",
)
"""Git pathspecs of what is copied, and of what a change of makes it be built again."""

SKELETON = re.compile(r'#include\s+"(?:[\w./]*/)?(\w+)\.(?:l?skel|subskel)\.h"')
OBJECT = re.compile(r'"(?:\./)?(\w+)\.bpf\.o"')
"""A program that a test opens as a file."""
INCLUDED = re.compile(r'#include\s+"((?:\.\./)?[\w./]+\.c)"')
TEST = re.compile(r"^void (?:serial_)?test_(\w+)\((?:void)?\)", re.M)
"""As the Makefile finds them for prog_tests/tests.h."""

RESULT = re.compile(
    r"#\d+(?:/\d+)? +(?P<test>[^/:]+)(?:/(?P<sub>.*))?:(?P<word>OK|FAIL|SKIP)(?: \((?P<rest>.*)\))?"
)
OUTCOMES = {"OK": ktap.PASSED, "FAIL": ktap.FAILED, "SKIP": ktap.SKIPPED}

OVERRIDES = (
    # A file that does not compile is one test less, not the end (Makefile, BPF_STRICT_BUILD).
    "BPF_STRICT_BUILD=0",
    # Each of these lists names programs of tests that are not built here.
    *(f"{name}=" for name in ("LINKED_SKELS", "LSKELS", "LSKELS_SIGNED", "LSKELS_EXTRA")),
    *("LIBARENA_SKEL=", "LIBARENA_ASAN_SKEL=", "TRUNNER_EXTRA_FILES="),
    # Nobody disassembles what the JIT has made, and no manual page is read.
    *("SKIP_LLVM=1", "SKIP_LIBBFD=1", "SKIP_CRYPTO=1", "SKIP_DOCS=1"),
)


def key(request: GuestRequest, suite: Suite) -> str:
    """What the runner is made from."""
    parts = (
        *sorted(wanted(request.tree.path / BPF, suite.files)),
        source_digest(request.tree, SOURCES),
        tools.command("clang", request.cache),
        # vmlinux.h comes from the kernel's BTF.
        (request.build_dir / ".config").read_text(),
    )
    return digest_of(*parts)


def make(kernel: Kernel, request: GuestRequest, suite: Suite, output: Path, log: Path) -> None:
    """Build the runner in ``output``, with all that make says in ``log``. The tree stays clean."""
    source = output / SOURCE
    mirror(request.tree.path, source, suite.files)
    clang = tools.command("clang", request.cache)
    command = [
        *("make", "-C", str(source / BPF), f"OUTPUT={output}", f"-j{request.jobs}"),
        f"VMLINUX_BTF={kernel.build.build_dir / 'vmlinux'}",
        f"CLANG={clang}",
        f"LLC={tools.command('llc', request.cache)}",
        f"LLVM_STRIP={tools.command('llvm-strip', request.cache)}",
        *OVERRIDES,
        str(output / RUNNER),
    ]
    # The environment's settings of make are not for this one.
    proc.run(command, env=request.toolchain.environment, check=False, log=log)


def mirror(tree: Path, target: Path, files: Sequence[ProgFile]) -> None:
    """Have the sources in ``target``, of the tests only ``files`` and the BPF programs they use.

    Raises LabError.
    """
    listed = Git(tree).out("ls-files", "-z", "--", *SOURCES).split("\0")
    kept = wanted(tree / BPF, files)
    pruned = [name for name in listed if name and not _left_out(Path(name), kept)]
    target.mkdir(parents=True, exist_ok=True)
    command = ("rsync", "--archive", "--from0", "--files-from=-", f"{tree}/", f"{target}/")
    proc.run(command, input="\0".join(pruned))


def _left_out(name: Path, kept: set[str]) -> bool:
    """Whether a file of the tree belongs to tests that nobody asked for."""
    if name.suffix != ".c" or not name.is_relative_to(BPF):
        return False
    inner = name.relative_to(BPF)
    return inner.parts[0] in (TESTS, PROGS) and str(inner) not in kept


def wanted(directory: Path, files: Sequence[ProgFile]) -> set[str]:
    """The C files below prog_tests/ and progs/ that the files need, by name from ``directory``."""
    found: set[str] = set()
    ahead = [f"{TESTS}/{file.name}.c" for file in files]
    while ahead:
        name = ahead.pop()
        path = directory / name
        if name in found or not path.is_file():
            continue
        found.add(name)
        text = path.read_text(encoding="utf-8", errors="replace")
        used = (*SKELETON.findall(text), *OBJECT.findall(text))
        ahead += [f"{PROGS}/{program}.c" for program in used]
        ahead += [f"{Path(name).parent}/{included}" for included in INCLUDED.findall(text)]
    return found


def programs(suite: Suite, output: Path, log: str) -> Iterator[Program]:
    """Each test of the suite as a program: the runner, told to run that one."""
    runner = output / RUNNER
    for file in suite.files:
        path = output / SOURCE / BPF / TESTS / f"{file.name}.c"
        text = path.read_text(errors="replace") if path.is_file() else ""
        known = list(dict.fromkeys(TEST.findall(text)))
        built = runner.is_file() and (output / f"{file.name}.test.o").is_file()
        for name in file.tests or known or (file.name,):
            problem = ""
            if name not in known:
                problem = f"this tree's {TESTS}/{file.name}.c has no such test"
            elif not built:
                problem = first_error(log, f"{TESTS}/{file.name}.c")
            # By its whole name: without a star it is no pattern.
            arguments = ("-a", name, "--no-error-summary", "--watchdog-timeout", str(suite.limit))
            yield Program(suite, name, None if problem else runner, problem, arguments, output)


ERROR = re.compile(r"(?P<file>\S+?):\d+:(?:\d+:)? (?:fatal )?error: .*")


def first_error(log: str, name: str) -> str:
    """The compiler's first complaint about a file, or about what was to be built before."""
    lines = [line.strip() for line in log.splitlines()]
    errors = [line for line in lines if ERROR.match(line)]
    own = [line for line in errors if name in line.split(":", 1)[0]]
    stopped = [line for line in lines if line.startswith("make") and "***" in line]
    return (own or errors or stopped or ["it was not built; see the log of the build"])[0]


def parse(lines: Iterable[str]) -> ktap.Report:
    """Results out of the runner's output; the lines before a failure are its message."""
    results: list[ktap.Result] = []
    own: ktap.Result | None = None
    said: list[str] = []
    for line in lines:
        match = RESULT.fullmatch(line.rstrip())
        if not match:
            said.append(line.rstrip())
            continue
        outcome = OUTCOMES[match["word"]]
        message = "\n".join(said) if outcome == ktap.FAILED else match["rest"] or ""
        if match["sub"]:
            results.append(ktap.Result(match["sub"], outcome, message))
        else:
            own = ktap.Result(match["test"], outcome, message)
        said = []
    # It ends with status 0 also where it has run nothing at all.
    bailed = None if own else "the runner printed no result"
    return ktap.Report(tuple(ktap.told_apart(results)), None, None, bailed, own)


def is_result(line: bytes) -> bool:
    """Whether a line of the runner's output is a result."""
    return RESULT.fullmatch(line.decode("utf-8", "backslashreplace").rstrip()) is not None
