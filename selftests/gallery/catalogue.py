# SPDX-License-Identifier: MIT
"""The gallery's filters as a table: what each is for, its parameters, what it has to tell.

The list that a person is shown, the check of what he asks for, and the filter itself are made from
a row; another filter is another row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from selftests.gallery import (
    after_exec,
    container_profile,
    exec_once,
    inject_fault,
    kinds,
    notify_sockets,
    opened_files,
    phases,
    rate_limit,
    syscall_log,
)
from selftests.gallery.kinds import Kind
from selftests.gallery.loaded import Events, Loaded

LOST = "lost"
"""The count of records for which a ring buffer had no room."""


class BadSetting(ValueError):
    """There is no such filter or parameter, or the value is none for it; ``hint`` names what is."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


@dataclass(frozen=True)
class Param:
    """A parameter. ``default`` is a text as a person would write it, None if it has to be set."""

    name: str
    kind: Kind
    default: str | None = None

    def __str__(self) -> str:
        if self.default is None:
            return f"{self.name}={self.kind.word}"
        return f"[{self.name}={self.default}]"


def _fits(**_: Any) -> None:
    pass


@dataclass(frozen=True)
class Filter:
    """A row. ``load`` takes ``params`` by name. ``counts`` are the words of the filter's .bss, in
    its order. ``check`` raises ValueError for values that do not go together.

    ``records`` reads the ring buffer ``events`` of a filter that logs. A filter that asks has a
    ``decide``, which answers a question that waits at the listener, and takes ``answer_params``.
    """

    name: str
    summary: str
    load: Callable[..., Loaded]
    params: tuple[Param, ...] = ()
    counts: tuple[str, ...] = ()
    check: Callable[..., None] = _fits
    records: Callable[[Events], Iterable[Any]] | None = None
    decide: Callable[..., Any] | None = None
    answer_params: tuple[Param, ...] = ()

    @property
    def all_params(self) -> tuple[Param, ...]:
        """What can be set."""
        return (*self.params, *self.answer_params)


EPERM = Param("error", kinds.ERRNO, "EPERM")

FILTERS: tuple[Filter, ...] = (
    Filter(
        exec_once.NAME,
        "so many executions, the command's own included, then an error",
        exec_once.load,
        (Param("budget", kinds.COUNT, "1"), EPERM),
        ("executions", "refused"),
    ),
    Filter(
        after_exec.NAME,
        "refuses calls from the command's execution on",
        after_exec.load,
        (Param("refused", kinds.CALLS), EPERM),
        ("executed", "refused"),
    ),
    Filter(
        syscall_log.NAME,
        "logs system calls with their arguments",
        syscall_log.load,
        (Param("wanted", kinds.LOGGED, "all"),),
        (LOST,),
        records=syscall_log.read,
    ),
    Filter(
        opened_files.NAME,
        "logs the files that are opened",
        opened_files.load,
        (),
        (LOST,),
        records=opened_files.read,
    ),
    Filter(
        inject_fault.NAME,
        "has a call fail: always, the Nth time, now and then, on one path",
        inject_fault.load,
        (
            Param("call", kinds.CALL),
            Param("error", kinds.ERRNO, "EIO"),
            Param("nth", kinds.COUNT, "0"),
            Param("probability", kinds.PROBABILITY, "0"),
            Param("path", kinds.PATH, ""),
        ),
        ("seen", "injected"),
        check=inject_fault.check,
    ),
    Filter(
        phases.NAME,
        "one set of calls until a certain call is made, then another",
        phases.load,
        (
            Param("starting", kinds.CALLS, "all"),
            Param("serving", kinds.CALLS),
            Param("begins", kinds.CALL, "listen"),
            EPERM,
        ),
        ("serves", "refused"),
    ),
    Filter(
        notify_sockets.NAME,
        "asks about sockets of some families, allows some, refuses the rest",
        notify_sockets.load,
        (
            Param("asked", kinds.FAMILIES, "inet,inet6"),
            Param("allowed", kinds.FAMILIES, "unix"),
        ),
        ("answered", "asked", "refused"),
        decide=notify_sockets.decide,
        answer_params=(Param("answer", kinds.ANSWER, "allow"),),
    ),
    Filter(
        rate_limit.NAME,
        "so many of some calls for each process and interval",
        rate_limit.load,
        (
            Param("limited", kinds.CALLS),
            Param("limit", kinds.COUNT),
            Param("interval", kinds.SECONDS, "1"),
            Param("error", kinds.ERRNO, "EAGAIN"),
        ),
        ("refused",),
    ),
    Filter(
        container_profile.PROGRAM,
        "what a container runtime lets a container of some capabilities do",
        container_profile.load,
        (Param("variant", kinds.CONTAINER, "default"),),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Chosen:
    """A filter with a value for each parameter."""

    filter: Filter
    values: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> Loaded:
        """Have it in the kernel. Raises OSError."""
        return self.filter.load(**self._of(self.filter.params))

    def decide(self, listener: int) -> Any:
        """Answer a question; None if it has become void. Raises OSError."""
        assert self.filter.decide is not None
        return self.filter.decide(listener, **self._of(self.filter.answer_params))

    def _of(self, params: Iterable[Param]) -> dict[str, Any]:
        return {param.name: self.values[param.name] for param in params}


def find(name: str) -> Filter:
    """A row by its name. Raises BadSetting."""
    for row in FILTERS:
        if row.name == name:
            return row
    raise BadSetting(
        f"There is no filter {name!r}.", f"There are {', '.join(row.name for row in FILTERS)}."
    )


def choose(name: str, settings: Iterable[str] = ()) -> Chosen:
    """A filter with settings ``KEY=VALUE``, of which the last of a key counts.

    Raises BadSetting; OSError without libseccomp.
    """
    row = find(name)
    given = dict(_split(row, setting) for setting in settings)
    chosen = Chosen(row, {param.name: _value(row, param, given) for param in row.all_params})
    try:
        row.check(**chosen.values)
    except ValueError as error:
        raise BadSetting(f"{name}: {error}.") from None
    return chosen


def _split(row: Filter, setting: str) -> tuple[str, str]:
    key, is_one, value = setting.partition("=")
    if not is_one:
        raise BadSetting(f"{setting!r} is not KEY=VALUE.", _takes(row))
    if key not in {param.name for param in row.all_params}:
        raise BadSetting(f"{row.name} has no parameter {key!r}.", _takes(row))
    return key, value


def _value(row: Filter, param: Param, given: Mapping[str, str]) -> Any:
    text = given.get(param.name, param.default)
    if text is None:
        raise BadSetting(f"{row.name} needs {param}.", _takes(row))
    try:
        return param.kind.read(text)
    except ValueError as error:
        raise BadSetting(
            f"{row.name}, {param.name}={text}: {error}.",
            f"{param.kind.word}: {param.kind.syntax}.",
        ) from None


def _takes(row: Filter) -> str:
    if not row.all_params:
        return f"{row.name} takes no parameters."
    return f"{row.name} takes {' '.join(map(str, row.all_params))}"


def listing(rows: Iterable[Filter] = FILTERS) -> Iterator[str]:
    """A line for each filter, then one for each kind of value."""
    lines = [(row.name, " ".join(map(str, row.all_params)), row.summary) for row in rows]
    first, second = (max(len(line[column]) for line in lines) for column in (0, 1))
    for name, params, summary in lines:
        yield f"{name:{first}}  {params:{second}}  {summary}"
    yield ""
    seen = {param.kind.word: param.kind for row in rows for param in row.all_params}
    for word, kind in seen.items():
        yield f"{word:{first}}  {kind.syntax}"
