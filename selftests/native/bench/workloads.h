/* SPDX-License-Identifier: GPL-2.0-only */
/* System calls that are made, and what is said of the time that they took. */
#ifndef BENCH_WORKLOADS_H
#define BENCH_WORKLOADS_H

#include <fcntl.h>

#include "common.h"

#define FAULT		EIO
#define OPENED		"/dev/null"

/* Calls that were refused, with the errno that has to come of it. */
static u64 mixed(u64 calls)
{
	u64 refused = 0;

	while (calls > 1) {
		refused += syscall(SYS_getpid, 0, "allow") == -1 && errno == EPERM;
		refused += syscall(SYS_getppid, 0, "refuse") == -1 && errno == EPERM;
		calls -= 2;
	}
	return refused;
}

static u64 fault(u64 calls)
{
	u64 refused = 0;

	while (calls--)
		refused += syscall(SYS_getppid) == -1 && errno == FAULT;
	return refused;
}

static u64 open_close(u64 calls)
{
	u64 refused = 0;
	int file;

	while (calls--) {
		file = openat(AT_FDCWD, OPENED, O_RDONLY);
		refused += file < 0;
		close(file);
	}
	return refused;
}

static u64 (*workload(const char *name))(u64)
{
	if (!strcmp(name, "mixed"))
		return mixed;
	if (!strcmp(name, "fault"))
		return fault;
	if (!strcmp(name, "open"))
		return open_close;
	fprintf(stderr, "no workload: %s\n", name);
	exit(2);
}

static void report(u64 ns, u64 refused)
{
	char line[80];
	int length;

	/* Written at once, also by a process that is confined. */
	length = snprintf(line, sizeof(line), "ns=%llu refused=%llu\n",
			  (unsigned long long)ns, (unsigned long long)refused);
	if (write(STDOUT_FILENO, line, length) != length)
		die("write");
}

static void run(u64 (*work)(u64), u64 calls)
{
	u64 begun = now(), refused = work(calls);

	report(now() - begun, refused);
}

#endif
