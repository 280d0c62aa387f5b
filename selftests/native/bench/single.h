/* SPDX-License-Identifier: GPL-2.0-only */
/* The time of one load, or one installation, while nothing else goes on. */
#ifndef BENCH_SINGLE_H
#define BENCH_SINGLE_H

#include <linux/membarrier.h>

#include "filters.h"
#include "workloads.h"

#define SHORT	16

/*
 * The programs of processes that have ended are freed after a grace period, by
 * a worker, and taking down the code of a long one keeps others from getting
 * memory for theirs: somebody else waits for that.
 */
static void quiet(void)
{
	struct filter filter = { .classic = classic_list(SHORT), .prog = -1 };
	pid_t child;

	for (int i = 0; i < 2; i++)
		syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
	usleep(20000);
	child = fork();
	if (!child) {
		install(&filter, 0);
		exit(0);
	}
	exit_code(child);
}

static int load(char **argv)
{
	u64 took;

	quiet();
	load_list(atoi(argv[0]), &took);
	report(took, 0);
	return 0;
}

static int attach_once(char **argv)
{
	struct filter filter = parse(argv[0]);
	u64 took;

	if (filter.length)
		filter.prog = load_list(filter.length, &took);
	no_new_privs();
	quiet();
	attach(&filter, 0, &took);
	report(took, 0);
	return 0;
}

#endif
