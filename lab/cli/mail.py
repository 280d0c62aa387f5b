# SPDX-License-Identifier: MIT
"""``lab series import`` and ``send``: a series from mail and as mail."""

from __future__ import annotations

from pathlib import Path

import click

from lab.cli.options import CONTEXT_SETTINGS, common, series_options
from lab.core.session import Session
from lab.errors import UsageError
from lab.source.apply import series_commit
from lab.source.desk import Desk
from lab.source.mail_import import import_series, place
from lab.source.mail_send import write_mails
from lab.source.tree import is_made_from, local_changes
from lab.source.worktree import some


@click.command("import", context_settings=CONTEXT_SETTINGS)
@click.argument("source")
@click.option(
    "--patches",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    show_default="a new directory here, named as by `b4 am -Q`",
    help="Where to write the patches and their `series` file.",
)
@click.option("--replace", is_flag=True, help="Replace a series that is committed there.")
@click.option(
    "-v",
    "--use-version",
    "revision",
    type=click.IntRange(min=1),
    metavar="N",
    show_default="the newest",
    help="Which version of the series.",
)
@common
def import_command(
    session: Session, source: str, patches: Path | None, replace: bool, revision: int | None
) -> None:
    """Import a series from mail, with b4, as a patches directory; print its path.

    SOURCE is a mailbox, a maildir, a directory of .patch or .eml files, or a message id to look up.
    Trailers from replies are added to the patches.
    """
    imported = import_series(source, revision, session.ui)
    directory = patches or Path(imported.name)
    changes = place(imported, directory, replace)
    for line in imported.said:
        session.ui.say(line)
    if not changes:
        session.ui.say(f"{directory} has this series already")
    session.ui.say(f"next: lab test --patches {directory}")
    session.ui.out(str(directory))


@click.command(context_settings=CONTEXT_SETTINGS)
@click.option(
    "--to-dir",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="New directory for the mails.",
)
@series_options
@common
def send(session: Session, base: str, newer: bool, patches: Path, to_dir: Path) -> None:
    """Write the mails of the series to files (b4 send -o). Nothing is ever sent.

    scripts/get_maintainer.pl of the tree gives To and Cc; From is that of the cover letter.
    """
    desk = Desk.of(session, base, newer, patches)
    check_exported(desk, session)
    head = series_commit(desk.request, session.ui)
    mails = write_mails(desk.request.base, head, desk.series, to_dir, session.ui)
    for mail in mails:
        session.ui.say(mail)
    session.ui.say(f"{len(mails)} mails written, none sent")
    session.ui.out(str(to_dir))


def check_exported(desk: Desk, session: Session) -> None:
    """Raises UsageError if the worktree of these patches has work that they do not have."""
    local = local_changes(desk.request)
    where, patches = desk.request.path, desk.series.directory
    if local and is_made_from(desk.request):
        raise UsageError(
            f"{where} has work of yours that is not in {patches}: {some(local)}. "
            "Nothing was written.",
            hint="`lab series export` writes commits into patches/; what is in no commit, commit "
            "or `git stash` first.",
        )
    if local:
        session.ui.warn(f"{where} has work of yours on other patches; {patches} is what counts")
