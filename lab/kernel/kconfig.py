# SPDX-License-Identifier: MIT
"""Reads Kconfig files far enough to say why an option did not come out as requested.

Not a configurator: the kernel's own ``conf`` decides, this only explains. It follows ``source``
from the top, keeps the ``if``, ``menu`` and ``choice`` that an option lies in, and evaluates
dependencies against a finished .config. What only the toolchain can answer (``$(cc-option,...)``)
is called undecided. (kconfiglib does not read the ``transitional`` keyword of current kernels.)

Syntax: Documentation/kbuild/kconfig-language.rst.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

TOKEN = re.compile(r'\s*(\|\||&&|!=|<=|>=|[=<>!()]|"[^"]*"|\'[^\']*\'|\$\(|[^\s=!<>()|&]+)')
PROMPT_TYPES = ("bool", "tristate", "string", "hex", "int", "def_bool", "def_tristate")


@dataclass
class Definition:
    """One ``config`` entry. ``depends`` are expressions that must all hold, with those of the
    blocks it lies in. ``selects`` are (option, condition).
    """

    option: str
    file: str
    line: int
    depends: list[str]
    prompt: bool = False
    choice: bool = False
    selects: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class _Block:
    """An open ``if``, ``menu`` or ``choice``."""

    kind: str
    depends: list[str]


@dataclass(frozen=True)
class Unmet:
    """A dependency that does not hold: the expression, its options' values, where it stands."""

    expression: str
    values: tuple[tuple[str, str], ...]
    where: str


class Kconfig:
    """The options of a tree, for one architecture."""

    def __init__(self, tree: Path, srcarch: str) -> None:
        self.tree = tree
        self.definitions: dict[str, list[Definition]] = {}
        self.selectors: dict[str, list[tuple[Definition, str]]] = {}
        self._variables = {"SRCARCH": srcarch, "HEADER_ARCH": srcarch}
        self._blocks: list[_Block] = []
        self._read("Kconfig")

    def knows(self, option: str) -> bool:
        """Whether the tree has such an option for this architecture."""
        return option in self.definitions

    def settable(self, option: str) -> bool:
        """Whether a configuration file can set it: it has a prompt somewhere."""
        return any(definition.prompt for definition in self.definitions.get(option, ()))

    def in_choice(self, option: str) -> bool:
        """Whether it is a member of a ``choice``."""
        return any(definition.choice for definition in self.definitions.get(option, ()))

    def unmet(self, option: str, config: Mapping[str, str]) -> list[Unmet]:
        """The dependencies of an option that do not hold. Several definitions: the one that is
        nearest to holding; empty if one holds.
        """
        candidates = [
            [
                Unmet(part, tuple(_values(part, config)), f"{definition.file}:{definition.line}")
                for expression in definition.depends
                for part in _conjuncts(expression)
                if evaluate(part, config) is not True
            ]
            for definition in self.definitions.get(option, ())
        ]
        return min(candidates, key=len, default=[])

    def active_selectors(self, option: str, config: Mapping[str, str]) -> list[str]:
        """Options that are on and ``select`` this one."""
        return sorted(
            {
                definition.option
                for definition, condition in self.selectors.get(option, ())
                if definition.option in config and evaluate(condition, config) is not False
            }
        )

    # --- reading --------------------------------------------------------------------------

    def _read(self, name: str) -> None:
        path = self.tree / name
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
        current: Definition | _Block | None = None
        for number, line in _logical_lines(text):
            word, _, rest = line.partition(" ")
            rest = rest.strip()
            if word in ("config", "menuconfig"):
                current = self._define(rest, name, number)
            elif word in ("menu", "choice"):
                current = _Block(word, [])
                self._blocks.append(current)
            elif word == "if":
                self._blocks.append(_Block("if", [rest]))
                current = None
            elif word in ("endif", "endmenu", "endchoice"):
                if self._blocks:
                    self._blocks.pop()
                current = None
            elif word == "comment":
                current = None
            elif word in ("source", "rsource", "osource", "orsource"):
                self._source(word, name, rest)
                current = None
            elif current is not None:
                self._attribute(current, word, rest)

    def _define(self, option: str, name: str, number: int) -> Definition:
        depends = [expression for block in self._blocks for expression in block.depends]
        choice = bool(self._blocks) and self._blocks[-1].kind == "choice"
        definition = Definition(option, name, number, depends, choice=choice)
        self.definitions.setdefault(option, []).append(definition)
        return definition

    def _attribute(self, current: Definition | _Block, word: str, rest: str) -> None:
        if word == "depends":
            expression, _, condition = rest.removeprefix("on ").strip().partition(" if ")
            text = f"!({condition}) || ({expression})" if condition else expression
            current.depends.append(text)
        elif isinstance(current, Definition):
            if word == "prompt" or (word in PROMPT_TYPES and rest[:1] in ('"', "'")):
                current.prompt = True
            elif word == "select":
                target, _, condition = rest.partition(" if ")
                current.selects.append((target.strip(), condition))
                self.selectors.setdefault(target.strip(), []).append((current, condition or "y"))

    def _source(self, word: str, name: str, rest: str) -> None:
        target = rest.strip("\"'")
        for variable, value in self._variables.items():
            target = target.replace(f"$({variable})", value).replace(f"${variable}", value)
        if word in ("rsource", "orsource"):
            target = str(Path(name).parent / target)
        if "$" not in target:
            self._read(target)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with continuations joined, without comments and help texts."""
    pending, start, help_indent = "", 0, None
    awaiting_help = False
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.expandtabs(8)
        stripped = line.strip()
        indent = len(line) - len(line.lstrip())
        if awaiting_help and stripped:
            # A help text begins with its first line's indentation, unless that is none at all.
            help_indent = indent if indent > 0 else None
            awaiting_help = False
        if help_indent is not None:
            if not stripped or indent >= help_indent:
                continue
            help_indent = None
        if not pending:
            start = number
        if stripped.endswith("\\"):
            pending += stripped[:-1] + " "
            continue
        joined, pending = _uncomment(pending + stripped), ""
        if joined in ("help", "---help---"):
            awaiting_help = True
        elif joined:
            yield start, joined


def _uncomment(line: str) -> str:
    """Without a trailing comment; ``#`` inside quotes stays."""
    quote = ""
    for index, char in enumerate(line):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char == "#":
            return line[:index].rstrip()
    return line


# --- expressions ----------------------------------------------------------------------------


def evaluate(expression: str, config: Mapping[str, str]) -> bool | None:
    """Whether an expression holds; None if only the toolchain knows. m counts as y."""
    if not expression.strip():
        return True
    return _Parser(expression, config).value()


class _Parser:
    """``||`` over ``&&`` over ``!``, comparisons and parentheses; three-valued."""

    def __init__(self, expression: str, config: Mapping[str, str]) -> None:
        self._tokens = _tokens(expression)
        self._config = config
        self._at = 0

    def value(self) -> bool | None:
        try:
            return self._or()
        except IndexError:
            return None

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1]

    def _or(self) -> bool | None:
        result = self._and()
        while self._peek() == "||":
            self._next()
            other = self._and()
            result = True if True in (result, other) else None if None in (result, other) else False
        return result

    def _and(self) -> bool | None:
        result = self._not()
        while self._peek() == "&&":
            self._next()
            other = self._not()
            result = (
                False if False in (result, other) else None if None in (result, other) else True
            )
        return result

    def _not(self) -> bool | None:
        if self._peek() == "!":
            self._next()
            value = self._not()
            return None if value is None else not value
        if self._peek() == "(":
            self._next()
            value = self._or()
            self._next()
            return value
        return self._comparison()

    def _comparison(self) -> bool | None:
        left = self._next()
        if self._peek() not in ("=", "!=", "<", ">", "<=", ">="):
            symbol = self._symbol(left)
            return None if symbol is None else symbol in ("y", "m")
        operator, right = self._next(), self._next()
        values = self._symbol(left), self._symbol(right)
        if values[0] is None or values[1] is None:
            return None
        return _compare(values[0], operator, values[1])

    def _symbol(self, token: str) -> str | None:
        """The value of a token: a literal, an option of the configuration, or undecided."""
        if token.startswith("$"):
            return None
        if token[:1] in ('"', "'"):
            return token[1:-1]
        if token in ("y", "m", "n") or token.isdigit() or token.startswith("0x"):
            return token
        return self._config.get(token, "n").strip('"')


def _compare(left: str, operator: str, right: str) -> bool:
    if operator in ("=", "!="):
        return (left == right) == (operator == "=")
    try:
        numbers = int(left, 0), int(right, 0)
    except ValueError:
        return False
    return {
        "<": numbers[0] < numbers[1],
        ">": numbers[0] > numbers[1],
        "<=": numbers[0] <= numbers[1],
        ">=": numbers[0] >= numbers[1],
    }[operator]


def _tokens(expression: str) -> list[str]:
    """Tokens; a macro call ``$(...)`` with all that it nests is one."""
    tokens, at = [], 0
    while match := TOKEN.match(expression, at):
        token, at = match[1], match.end()
        if token == "$(":
            depth = 1
            while at < len(expression) and depth:
                depth += {"(": 1, ")": -1}.get(expression[at], 0)
                at += 1
            token = expression[match.start(1) : at]
        tokens.append(token)
    return tokens


def _conjuncts(expression: str) -> list[str]:
    """The parts of an expression that ``&&`` joins at its top level."""
    parts: list[list[str]] = [[]]
    depth = 0
    tokens = _tokens(expression)
    for token in tokens:
        depth += {"(": 1, ")": -1}.get(token, 0)
        if token == "||" and depth == 0:
            return [expression]
        if token == "&&" and depth == 0:
            parts.append([])
        else:
            parts[-1].append(token)
    return [_unwrap(part) for part in parts]


def _unwrap(tokens: list[str]) -> str:
    text = " ".join(tokens)
    return text.replace("( ", "(").replace(" )", ")").replace("! ", "!")


def _values(expression: str, config: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The options in an expression with their values."""
    seen = set()
    for token in _tokens(expression):
        if re.fullmatch(r"[A-Z0-9_a-z]*[A-Z][A-Z0-9_a-z]*", token) and token not in seen:
            seen.add(token)
            yield token, config.get(token, "n")
