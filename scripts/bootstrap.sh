# SPDX-License-Identifier: MIT
# Sourced by the scripts beside it: brings python, git and a private tox, then runs tox.
#
# On Debian and Ubuntu missing packages are installed, as root or by sudo; elsewhere they are named.
# What the kernel build itself needs is `lab doctor --install`'s business (lab/host/tools.toml).

set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cache=${SECCOMP_LAB_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/seccomp-lab}
venv=$cache/bootstrap
tox_requirement='tox>=4.60,<5'

fail() {
	printf '%s: error: %s\n' "$(basename -- "$0")" "$1" >&2
	exit 3
}

# The first python that is new enough and can make virtual environments; nothing if there is none.
find_python() {
	for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
		if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
			2>/dev/null; then
			command -v "$candidate"
			return
		fi
	done
}

have_python() {
	"$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

# Packages that bring python: the distribution's own, or a newer one beside it where it offers one.
python_packages() {
	if have_python python3; then
		echo python3-venv
		return
	fi
	# `apt-cache policy` of the default: a version such as 3.11.2-1+b1.
	offered=$(apt-cache policy python3 | sed -n 's/^ *Candidate: 3\.\([0-9]*\).*/\1/p')
	if [ "${offered:-0}" -ge 11 ]; then
		echo python3 python3-venv
		return
	fi
	for minor in 14 13 12 11; do
		if apt-cache show "python3.$minor-venv" >/dev/null 2>&1; then
			echo "python3.$minor" "python3.$minor-venv"
			return
		fi
	done
}

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		fail "this needs root, and there is no sudo; as root: $*"
	fi
}

# need COMMAND:PACKAGE ...: have these commands, and python.
need() {
	packages=
	for pair in "$@"; do
		command -v "${pair%%:*}" >/dev/null || packages="$packages ${pair#*:}"
	done
	python=$(find_python)
	[ -n "$packages" ] || [ -z "$python" ] || return 0
	if ! command -v apt-get >/dev/null; then
		[ -n "$python" ] || packages="$packages python3 (3.11 or newer, with venv and pip)"
		fail "please install:$packages. Packages are installed by this script on Debian and Ubuntu only."
	fi
	as_root apt-get -q update
	if [ -z "$python" ]; then
		wanted=$(python_packages)
		[ -n "$wanted" ] || fail "python 3.11 or newer is needed; python3 here is $(python3 --version 2>&1 ||
			echo missing), and apt offers no newer one. Debian 12, Ubuntu 22.04 and later do."
		packages="$packages $wanted"
	fi
	# shellcheck disable=SC2086 # a list of words
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends $packages
	python=$(find_python)
	[ -n "$python" ] || fail "no python that is 3.11 or newer and has venv, although$packages got installed"
}

# A virtual environment with tox alone; `ready` is written last, so that half a one is made anew.
bring_tox() {
	mkdir -p "$cache"
	if command -v flock >/dev/null; then
		exec 9>"$cache/bootstrap.lock"
		flock 9
	fi
	wanted="$python $("$python" --version) $tox_requirement"
	if [ "$(cat "$venv/ready" 2>/dev/null)" != "$wanted" ] || ! [ -x "$venv/bin/python" ]; then
		rm -rf "$venv"
		"$python" -m venv "$venv"
		"$venv/bin/python" -m pip -q --disable-pip-version-check install "$tox_requirement"
		printf '%s\n' "$wanted" >"$venv/ready"
	fi
	exec 9>&-
}

# run_tox ARGUMENTS...: does not return.
run_tox() {
	cd "$root"
	exec "$venv/bin/python" -m tox "$@"
}
