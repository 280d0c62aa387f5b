/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel memory that filters take. */
#ifndef BENCH_MEMORY_H
#define BENCH_MEMORY_H

#include <signal.h>

#include "filters.h"
#include "single.h"

/* Of /proc/meminfo, in bytes: slabs, vmalloc() (programs and their code), per-CPU memory. */
static u64 kernel_memory(void)
{
	static const char * const fields[] = { "Slab:", "VmallocUsed:", "Percpu:" };
	FILE *file = fopen("/proc/sys/vm/stat_refresh", "r");
	char line[128];
	u64 sum = 0;

	/* Reading it folds what each processor has counted for itself. */
	if (file) {
		fread(line, 1, 1, file);
		fclose(file);
	}
	file = fopen("/proc/meminfo", "r");
	if (!file)
		die("/proc/meminfo");
	while (fgets(line, sizeof(line), file))
		for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
			if (!strncmp(line, fields[i], strlen(fields[i])))
				sum += atoll(line + strlen(fields[i])) * 1024;
	fclose(file);
	return sum;
}

#define LOOKS	500	/* ten seconds */
#define ALIKE	5

/* The filters of processes that have ended go away in their own time. */
static u64 settled(void)
{
	u64 before = kernel_memory(), after;
	int same = 0;

	for (int i = 0; i < LOOKS; i++) {
		usleep(20000);
		after = kernel_memory();
		same = after == before ? same + 1 : 0;
		if (same == ALIKE)
			return after;
		before = after;
	}
	fprintf(stderr, "the kernel's memory does not stay the same\n");
	exit(1);
}

#define HOLDERS	4	/* a process's filters add up to a limit */
#define EARLIER	400	/* filters of each of as many processes that take what is left free */

static void wait_byte(int from)
{
	char byte;

	if (read(from, &byte, 1) != 1)
		exit(1);
}

static void send_bytes(int to, int count)
{
	while (count--)
		if (write(to, "", 1) != 1)
			die("write");
}

static void install_all(const struct filter *filter, int count)
{
	while (count--)
		install(filter, 0);
}

/* Of the same kind: its slabs are those that earlier measurements have left half empty. */
static struct filter short_one(const struct filter *filter)
{
	struct filter other = *filter;

	if (filter->classic.filter)
		other.classic = classic_list(SHORT);
	else if (filter->prog < 0)
		other.length = SHORT;
	return other;
}

/* Attach, wait, attach what is measured, wait. */
static void hold(const struct filter *first, int earlier, const struct filter *filter, int count,
		 int go, int done, int leave)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	install_all(first, earlier);
	send_bytes(done, 1);
	wait_byte(go);
	install_all(filter, count);
	send_bytes(done, 1);
	wait_byte(leave);
	exit(0);
}

/* None of them ends before it is told to; the others end with this process. */
static void ended_early(int signal)
{
	_exit(1);
}

static int memory(char **argv)
{
	struct filter filter = parse(argv[1]), other = short_one(&filter);
	int go[2], done[2], leave[2], count = atoi(argv[0]) / HOLDERS, i;
	u64 before, after;

	if (pipe(go) || pipe(done) || pipe(leave))
		die("pipe");
	signal(SIGCHLD, ended_early);
	for (i = 0; i < 2 * HOLDERS; i++) {
		if (fork())
			continue;
		close(done[0]);
		if (i < HOLDERS)
			hold(&other, EARLIER, &filter, 0, go[0], done[1], leave[0]);
		hold(&filter, count / 4, &filter, count, go[0], done[1], leave[0]);
	}
	close(done[1]);
	for (i = 0; i < 2 * HOLDERS; i++)
		wait_byte(done[0]);
	before = settled();
	send_bytes(go[1], 2 * HOLDERS);
	for (i = 0; i < 2 * HOLDERS; i++)
		wait_byte(done[0]);
	after = settled();
	signal(SIGCHLD, SIG_DFL);
	send_bytes(leave[1], 2 * HOLDERS);
	while (wait(NULL) > 0)
		;
	printf("bytes=%lld\n", (long long)(after - before));
	return 0;
}

#endif
