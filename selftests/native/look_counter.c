// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ask the filter of bpf/task_storage.bpf.c for the process's counter, and exit
 * with it, or with 255 if there is none.
 */
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOOK	2
#define NOTHING	4000

int main(void)
{
	/* getppid() takes no argument, but a filter sees the registers. */
	if (syscall(SYS_getppid, LOOK) != -1)
		return 254; /* no such filter */

	return errno == NOTHING ? 255 : errno;
}
