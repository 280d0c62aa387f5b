# SPDX-License-Identifier: MIT
"""CONTRIBUTING.md and the manuals against the tree: floors, links, paths."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from lab import PROJECT_ROOT

PAGES = sorted((*PROJECT_ROOT.glob("*.md"), *PROJECT_ROOT.glob("docs/*.md")))

LINK = re.compile(r"\]\((?!\w+:)([^)#]+)")
PLACE = re.compile(r"`((?:lab|selftests|tests|kconfigs|docs)/[\w./-]+)`")
"""What is in the checkout, unless it has a placeholder; scripts/ can be the kernel's."""


def _contracts() -> dict[str, dict[str, Any]]:
    config = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {row["id"]: row for row in config["tool"]["importlinter"]["contracts"]}


def test_the_table_of_packages_has_the_floors_in_their_order() -> None:
    text = (PROJECT_ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition("| package |")[2].partition("\n\n")[0]
    named = re.findall(r"^\| `(\w+)/?` \|", table, flags=re.MULTILINE)
    layers = " | ".join(_contracts()["floors"]["layers"]).split(" | ")
    assert named == [layer for layer in layers if layer != "__main__"]


def test_only_the_command_line_and_the_tools_may_import_click() -> None:
    floors = " | ".join(_contracts()["floors"]["layers"]).split(" | ")
    held = {name.removeprefix("lab.") for name in _contracts()["click"]["source_modules"]}
    assert set(floors) - held == {"__main__", "tools", "cli"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_places_that_are_named_exist(page: Path) -> None:
    places = set(PLACE.findall(page.read_text(encoding="utf-8")))
    named = {place for place in places if not re.search(r"\b(NAME|BASE|DIR)\b", place)}
    assert sorted(place for place in named if not (PROJECT_ROOT / place).exists()) == []
