# SPDX-License-Identifier: MIT
"""The page about a run: what is in it, and that it stands alone."""

from __future__ import annotations

import html.parser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lab.core.cache import Cache
from lab.guest import splats
from lab.report.files import write_all
from lab.report.timings import timings
from lab.runs import console, journal
from lab.runs.manifest import Build, Manifest
from lab.runs.run import Run
from lab.runs.rundir import HTML
from tests.runs import make_run, result, row, table, write_bench

ONE, TWO = "selftests/test_a.py::test_one", "selftests/test_a.py::test_two"


def page(directory: Path) -> str:
    write_all(Run.load(directory))
    return (directory / HTML).read_text()


def marker(name: str, second: float = 1.0) -> str:
    return f"[    {second:.6f}] {splats.START_MARKER}{name}\n"


class Visible(html.parser.HTMLParser):
    """Text and addresses of a page; every element has to be closed."""

    VOID = ("meta", "br", "link", "img", "input")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src")]
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parse(text: str) -> Visible:
    visible = Visible()
    visible.feed(text)
    assert visible.open == []
    return visible


def test_a_failure_has_its_message_and_its_part_of_the_console(cache: Cache) -> None:
    directory = make_run(
        cache,
        {ONE: result("passed"), TWO: result("failed", message="E  <wrong>")},
        code=1,
        console="Linux version\n" + marker(ONE) + "of one\n" + marker(TWO) + "[ 2.0] of & two\n",
    )
    text = page(directory)
    section = text[text.index("<h2>What failed") : text.index("<h2>Which tests prove")]
    assert "&lt;wrong&gt;" in section
    assert "of &amp; two" in section
    assert "of one" not in section
    assert "console.log from line 4" in section
    assert "The end of the console" not in text


def test_a_lost_guest_shows_the_end_of_the_console(cache: Cache) -> None:
    lines = "".join(f"line {number}.\n" for number in range(100))
    text = page(make_run(cache, {ONE: result("passed")}, code=3, console=lines))
    section = text[text.index("The end of the console") :]
    assert "line 99." in section
    assert "line 59." not in section
    assert "60 lines before it are left out" in section


def test_what_was_tested_is_said(cache: Cache) -> None:
    text = page(make_run(cache, {ONE: result("passed")}))
    for word in ("linux-7.3 7.3.4", "2 applied", "core, series", "gcc 12", "scripts/lab test",
                 "patch-id bbbbbbbbbbbb", "no test in this run"):  # fmt: skip
        assert word in text


def test_the_page_stands_alone_also_with_plots(cache: Cache) -> None:
    directory = make_run(cache, {ONE: result("passed")})
    lines = [row("a", 1.0, x=1.0, group="g"), row("b", 2.0, x=2.0, group="g")]
    write_bench(directory, table([row("c", 3.0)]), table(lines, name="stacked", x="filters"))
    text = page(directory)
    assert text.count("<svg") == 2
    assert "://" not in text.replace(directory.as_uri(), "")
    assert "<script" not in text
    visible = parse(text)
    assert len(set(visible.ids)) == len(visible.ids)
    for address in visible.addresses:
        assert (directory / address).is_file() or address.removeprefix("#") in visible.ids


@pytest.mark.parametrize("name", ["bench.txt", "walk.txt", "compare.html", "console.log"])
def test_what_else_a_run_directory_has_is_linked(cache: Cache, name: str) -> None:
    directory = make_run(cache, {})
    assert name not in parse(page(directory)).addresses
    (directory / name).write_text("")
    assert name in parse(page(directory)).addresses


def test_ratios_say_whether_their_goal_is_reached(cache: Cache) -> None:
    directory = make_run(cache, {}, kind="bench")
    ratios = [
        {"label": "n / e", "value": 90.0, "low": 80.0, "high": 99.0, "rfc": 84.6,
         "goal": {"op": ">=", "value": 80.0}},
        {"label": "e / c", "value": 2.0, "low": 1.0, "high": 3.0, "rfc": None,
         "goal": {"op": "<=", "value": 1.1}},
    ]  # fmt: skip
    write_bench(directory, table([row("c", 3.0), row("d", None, note="no such")], ratios=ratios))
    text = page(directory)
    assert re.findall(r">(reached|missed)<", text) == ["reached", "missed"]
    assert "84.6" in text
    assert "no such" in text


def test_a_broken_bench_file_is_said_and_spoils_nothing(cache: Cache) -> None:
    directory = make_run(cache, {ONE: result("passed")})
    (directory / "bench.json").write_text('{"version": 1, "tables": [{"name": 3}]}')
    text = page(directory)
    assert "bench.json is no file of figures" in text
    assert ONE in text


def test_pages_without_figures_do_not_import_matplotlib(cache: Cache) -> None:
    directory = make_run(cache, {ONE: result("passed")})
    code = (
        "import sys; from pathlib import Path\n"
        "import lab.cli.app, lab.report.html\n"
        "from lab.report.files import write_all; from lab.runs.run import Run\n"
        "write_all(Run.load(Path(sys.argv[1])))\n"
        "assert 'matplotlib' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(directory)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


# --- times -----------------------------------------------------------------------------------


def test_stages_take_from_one_event_to_the_next() -> None:
    rows = [
        {"event": "run", "time": 100.0},
        {"event": "stage", "name": "base", "time": 101.0},
        {"event": "stage", "name": "tree", "time": 104.0},
        {"event": "stage", "name": "config", "time": 105.0},
        {"event": "stage", "name": "build", "time": 205.0},
        {"event": "stage", "name": "guest files", "time": 206.0},
        {"event": "seed", "tests": [{"id": "t"}], "time": 207.0},
        {"event": "result", "id": "t", "outcome": "passed", "seconds": 2.0, "time": 220.0},
        {"event": "guest", "boot_seconds": 8.0, "seconds": 20.0, "time": 227.0},
        {"event": "verdict", "code": 0, "headline": "", "time": 228.0},
    ]
    found = timings(journal.read(rows), Manifest(build=Build(fresh=True, objects=7)))
    assert [(row.stage, row.seconds) for row in found] == [
        ("fetch", 1.0),
        ("apply", 3.0),
        ("config", 1.0),
        ("build", 100.0),
        ("guest files", 1.0),
        ("collect", 1.0),
        ("boot", 8.0),
        ("tests", 12.0),
        ("whole run", 128.0),
    ]
    assert [row.note for row in found if row.note] == [
        "7 steps",
        "until the guest has signed on",
        "the tests themselves 2.0 s",
    ]


def test_a_run_that_did_not_get_far_has_the_stages_it_had() -> None:
    rows = [{"event": "run", "time": 1.0}, {"event": "stage", "name": "tree", "time": 3.0}]
    assert [row.stage for row in timings(journal.read(rows), Manifest())] == [
        "fetch, apply",
        "whole run",
    ]
    assert timings(journal.View(), Manifest()) == []


# --- the console -----------------------------------------------------------------------------


def test_a_test_without_a_marker_has_no_excerpt() -> None:
    lines = (marker(ONE) + "said\n").splitlines()
    found = console.of_tests(lines, {ONE, TWO})
    assert {name: excerpt.lines[1:] for name, excerpt in found.items()} == {ONE: ("said",)}
    assert console.of_tests(["nothing"], {ONE}) == {}


def test_of_a_talkative_test_the_end_is_kept() -> None:
    lines = [marker(ONE).strip(), *(f"{number}" for number in range(100))]
    excerpt = console.of_tests(lines, {ONE})[ONE]
    assert (excerpt.first, excerpt.left_out, excerpt.lines[-1]) == (62, 61, "99")
    assert console.of_tests(lines[:1], {ONE})[ONE].silent


def test_a_run_without_a_console_has_no_lines(tmp_path: Path) -> None:
    assert console.read_lines(tmp_path) == []
    assert console.tail([]) is None


# --- in a browser ----------------------------------------------------------------------------

FRAME = """<!DOCTYPE html><meta charset="utf-8"><style>body {{ margin: 0 }} iframe {{ border: 0;
width: {width}px; height: 900px }}</style><iframe src="{page}" onload="let d =
this.contentDocument.documentElement; document.title = d.scrollWidth + ' ' + d.clientWidth">
</iframe>"""


@pytest.mark.parametrize("width", [400, 1280])
def test_no_page_is_wider_than_its_window(cache: Cache, tmp_path: Path, width: int) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("there is no chromium")
    long = "x" * 300
    directory = make_run(
        cache, {f"{ONE}[{long}]": result("failed", message=long)}, code=1, headline=long,
        console=marker(f"{ONE}[{long}]") + long, reproduce=f"scripts/lab test -k {long}",
        splats=[{"kind": "WARNING", "headline": long, "line": 1, "test": long, "excerpt": [long],
                 "allowed": None}],
    )  # fmt: skip
    ratio = {"label": long, "value": 1e9, "low": 1e8, "high": 1e10, "goal": None, "rfc": None}
    write_bench(directory, table([row("a" * 30, 1.0), row("b", 1e9)], ratios=[ratio]))
    page(directory)
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.format(width=width, page=(directory / HTML).as_uri()))
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--dump-dom",
         "--allow-file-access-from-files", f"--user-data-dir={tmp_path / 'profile'}",
         f"--window-size={width},900", frame.as_uri()],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    found = re.search(r"<title>(\d+) (\d+)</title>", done.stdout)
    assert found, done.stdout[-500:]
    assert found.groups() == (str(width), str(width))


def test_the_streams_of_several_guests_are_linked_and_named(cache: Cache) -> None:
    """A splat says whose console it is on; a run of before that was told has but one."""
    splat = {"kind": "WARNING", "headline": "WARNING: at x", "line": 3, "test": "",
             "excerpt": [], "allowed": None}  # fmt: skip
    of_guest = {**splat, "console": "guests/2-series/console.log"}
    directory = make_run(cache, {ONE: result("passed")}, code=4, splats=[splat, of_guest])
    for name in ("1-base", "2-series"):
        (directory / "guests" / name).mkdir(parents=True)
        (directory / "guests" / name / "console.log").touch()
    text = page(directory)
    assert '">console.log line 3' in text
    assert '">guests/2-series/console.log line 3' in text
    links = [link for link in parse(text).addresses if link.startswith("guests/")]
    assert links == ["guests/1-base/console.log", "guests/2-series/console.log"]
