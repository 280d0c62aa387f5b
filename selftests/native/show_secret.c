// SPDX-License-Identifier: GPL-2.0-only
/*
 * Make one system call that points a filter at this program's memory, and exit
 * with 40 and the process's dumpability, so that a test can tell what it tested.
 */
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char secret[] = "the binary's own secret";

int main(void)
{
	/* getppid() takes no argument, but a filter sees the registers. */
	syscall(SYS_getppid, secret, sizeof(secret));

	return 40 + prctl(PR_GET_DUMPABLE);
}
