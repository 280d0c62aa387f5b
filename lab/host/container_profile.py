# SPDX-License-Identifier: MIT
"""A container runtime's default seccomp profile, for the gallery's translation of one.

It comes with what podman, buildah and skopeo share. Installing that package would bring a container
network with it, so where the host has no profile the package is fetched, and only unpacked.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from lab.core import proc
from lab.core.cache import DOWNLOADS_LOCK, Cache
from lab.core.ui import Ui
from lab.errors import LabError, Unavailable, UsageError
from lab.host.apt import PrivateApt, Release, from_first
from selftests.gallery import container_profile as translator
from selftests.gallery.container_profile_json import ProfileError

ENVIRONMENT = "SECCOMP_LAB_CONTAINER_PROFILE"
"""Names another profile, of Docker's, of Podman's or of the OCI runtime specification's format."""

HOST = Path("/usr/share/containers/seccomp.json")
MEMBER = HOST.relative_to("/")
PACKAGE = "golang-github-containers-common"


RELEASES = (Release("debian", "trixie"), Release("ubuntu", "noble"))


def private(cache: Cache) -> Path:
    """Where the lab's own lies, if it has been needed."""
    return cache.tools / "container-profile" / HOST.name


def provide(cache: Cache, ui: Ui) -> Path:
    """The profile that the environment names, the host's, or the lab's own, brought on first need.

    Raises UsageError if the environment names no file, LabError if none can be had.
    """
    named = os.environ.get(ENVIRONMENT)
    if named:
        if not Path(named).is_file():
            raise UsageError(f"{ENVIRONMENT} is {named}, and that is no file.")
        return Path(named)
    if HOST.is_file():
        return HOST
    own = private(cache)
    with cache.lock_entry(own, "bringing a container profile", ui.say):
        if not own.is_file():
            with cache.lock(DOWNLOADS_LOCK, "fetching a container profile", ui.say):
                _bring(own, cache, ui)
    return own


def _bring(own: Path, cache: Cache, ui: Ui) -> None:
    def fetch(apt: PrivateApt, release: Release) -> Path:
        versions = apt.versions(PACKAGE)
        if not versions:
            raise Unavailable(f"{release} has no {PACKAGE}.")
        target = cache.downloads / f"{PACKAGE}_{versions[0].version}.deb"
        return apt.download(versions[0], target, ui)

    try:
        release, deb = from_first(RELEASES, PrivateApt.for_suites, cache, ui, fetch)
    except Unavailable as error:
        raise LabError(
            "The gallery translates a container runtime's profile, and this host has none. "
            + error.message,
            hint=f"Install the package that brings {HOST} (`lab doctor` names it), or have "
            f"{ENVIRONMENT} name a profile.",
        ) from None
    ui.say(f"unpacking {HOST.name} of {PACKAGE} ({release})")
    _unpack(deb, own)


def _unpack(deb: Path, own: Path) -> None:
    own.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=own.parent) as scratch:
        proc.run(["dpkg-deb", "-x", deb, scratch])
        found = Path(scratch, MEMBER)
        if not found.is_file():
            raise LabError(f"There is no {MEMBER} in {deb}.")
        shutil.move(found, own)


def translations(profile: Path, kernel: str, machine: str) -> dict[str, str]:
    """The filters in C that the gallery makes of a profile, by the names of their objects, for
    containers on a kernel of that release. Raises UsageError if it is no profile, or cannot be
    translated.
    """
    try:
        return translator.translations(profile, kernel, machine)
    except ProfileError as error:
        raise UsageError(f"No filter can be made of this profile: {error}") from error
    except OSError as error:
        raise LabError(f"{profile} cannot be translated: {error}") from error
