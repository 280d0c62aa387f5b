# SPDX-License-Identifier: MIT
"""Starts pytest from a snapshot of compiled modules; runs by itself, on the host and in the guest.

``import pytest`` opens some three hundred files. Under emulation, over 9p, finding and opening them
takes longer than running them. So the host collects the suite once (it does so anyway, to know
which tests to expect) and writes the code of every module that this has imported into one file; the
guest's Python takes modules from there and everything else from where it always does.

    python snapshot.py record FILE [pytest arguments]
    python snapshot.py replay FILE [pytest arguments]

``replay`` without a usable snapshot is ``python -m pytest``.
"""

from __future__ import annotations

import gc
import marshal
import os
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import MAGIC_NUMBER, spec_from_file_location
from types import CodeType, ModuleType

# Not a dataclass: dataclasses is one of the modules whose import this file makes cheap.
Entry = tuple[str, bool, bytes]
"""Source file, whether it is a package, marshalled code."""


class SnapshotLoader(SourceFileLoader):
    """A source loader whose code is in memory already; sources and data are still the file's."""

    def __init__(self, name: str, path: str, code: bytes) -> None:
        super().__init__(name, path)
        self._code = code

    def get_code(self, fullname: str) -> CodeType | None:
        """The recorded code."""
        if fullname != self.name:
            return super().get_code(fullname)
        code = marshal.loads(self._code)
        assert isinstance(code, CodeType)
        return code


class SnapshotFinder:
    """Finds the modules of a snapshot."""

    def __init__(self, entries: dict[str, Entry]) -> None:
        self._entries = entries

    def find_spec(
        self,
        name: str,
        path: object = None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """A spec as the path finder would make it; None if the module is not in the snapshot."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        origin, package, code = entry
        return spec_from_file_location(
            name,
            origin,
            loader=SnapshotLoader(name, origin, code),
            submodule_search_locations=[os.path.dirname(origin)] if package else None,  # noqa: PTH120
        )


def modules() -> dict[str, Entry]:
    """The modules that are imported now and have Python sources.

    Tests are left out: pytest rewrites their assertions and keeps the result beside them.
    """
    found: dict[str, Entry] = {}
    for module in list(sys.modules.values()):
        spec = getattr(module, "__spec__", None)
        if spec is None or type(spec.loader) is not SourceFileLoader or not spec.origin:
            continue
        code = spec.loader.get_code(spec.name)
        if code is not None:
            package = spec.submodule_search_locations is not None
            found[spec.name] = (os.path.abspath(spec.origin), package, marshal.dumps(code))  # noqa: PTH100
    return found


def save(path: str) -> None:
    """Write the snapshot of what is imported, in one step."""
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "wb") as file:  # noqa: PTH123
        marshal.dump((MAGIC_NUMBER, sys.version, modules()), file)
    os.replace(temporary, path)  # noqa: PTH105


def install(path: str) -> bool:
    """Let imports come from a snapshot; whether it can be used by this interpreter."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            magic, version, entries = marshal.loads(file.read())
    except (OSError, ValueError, EOFError, TypeError):
        return False
    if (magic, version) != (MAGIC_NUMBER, sys.version):
        return False
    sys.meta_path.insert(0, SnapshotFinder(entries))
    return True


def main() -> int:
    """See the module's text; pytest's exit status."""
    mode, path, *arguments = sys.argv[1:]
    # As `python -m pytest` has it: this file's own directory is not a place to import from.
    sys.path[0] = os.getcwd()  # noqa: PTH109
    if mode == "replay":
        install(path)
    # Imports make garbage nowhere and objects everywhere: looking for it costs a tenth.
    gc.disable()
    import pytest

    gc.enable()
    sys.argv = [pytest.__file__, *arguments]
    status = int(pytest.main(arguments))
    if mode == "record" and status == 0:
        save(path)
    return status


if __name__ == "__main__":
    sys.exit(main())
