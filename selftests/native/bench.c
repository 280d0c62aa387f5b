// SPDX-License-Identifier: GPL-2.0-only
/*
 * Measure one configuration, in this process alone: filters stay for life.
 *
 *	bench calls WORKLOAD CALLS THREADS COPIES [FILTER]	time of the calls
 *	bench notify WORKLOAD CALLS SYNC FILTER		... answered by another process
 *	bench trace CALLS FILTER			... by a tracer
 *	bench logged CALLS RING LOG FILTER		... with a reader of a ring buffer
 *	bench load LENGTH				time of BPF_PROG_LOAD
 *	bench attach FILTER				time of seccomp()
 *	bench memory COUNT FILTER			kernel memory of so many more
 *
 * WORKLOAD: "mixed", by turns getpid() and getppid(), whose second argument says
 * "allow" or "refuse"; "fault", getppid() alone; "open", open and close a file.
 * FILTER: classic:FILE (an array of struct sock_filter), ebpf:DESCRIPTOR, or
 * classic-list:LENGTH and ebpf-list:LENGTH, checks of numbers one after another,
 * of which no call is refused.
 *
 * What was measured is printed as words NAME=NUMBER; times are of CLOCK_MONOTONIC,
 * in ns. See selftests/bench/.
 */
#include "bench/calls.h"
#include "bench/log.h"
#include "bench/memory.h"
#include "bench/notify.h"
#include "bench/single.h"
#include "bench/trace.h"

static const struct {
	const char *name;
	int (*measure)(char **argv);
	int least;
} modes[] = {
	{ "calls", calls, 4 },	{ "notify", notify, 4 }, { "trace", trace, 2 },
	{ "logged", logged, 4 }, { "load", load, 1 },	 { "attach", attach_once, 1 },
	{ "memory", memory, 2 },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(modes); i++)
		if (!strcmp(argv[1], modes[i].name) && argc - 2 >= modes[i].least)
			return modes[i].measure(argv + 2);
	fprintf(stderr, "usage: see selftests/native/bench.c\n");
	return 2;
}
