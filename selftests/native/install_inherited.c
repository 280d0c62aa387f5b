// SPDX-License-Identifier: GPL-2.0-only
/*
 * Install the filter whose descriptor has come over exec, and have it look:
 *
 *	install_inherited FILTER
 *
 * exits with the errno of installing. Not dumpable, the secret is to be read
 * by who may read anything only.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SET_MODE_FILTER	1
#define EXTENDED	(1UL << 6)

static const char secret[] = "do not tell anybody more";

int main(int argc, char **argv)
{
	int filter = argc == 2 ? atoi(argv[1]) : -1;

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return 99;
	if (syscall(SYS_seccomp, SET_MODE_FILTER, EXTENDED, &filter))
		return errno;
	syscall(SYS_getppid, secret);
	return 0;
}
