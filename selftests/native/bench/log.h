/* SPDX-License-Identifier: GPL-2.0-only */
/* The time of calls that a filter tells of, with a reader of its ring buffer. */
#ifndef BENCH_LOG_H
#define BENCH_LOG_H

#include <poll.h>
#include <sys/mman.h>

#include "filters.h"
#include "workloads.h"

#define RING_BUSY	(1U << 31)	/* BPF_RINGBUF_BUSY_BIT */
#define RING_DISCARD	(1U << 30)
#define RING_HEADER	8
#define RING_SIZE	(1 << 20)	/* gallery/opened_files.bpf.c */

/* As there. */
struct opened {
	u64 time, ids, users;
	u32 call;
	s32 dirfd;
	u64 flags;
	s64 length;
	char path[256];
};

static volatile u64 *consumed, *produced;
static const char *records;

static void map_ring(int ring)
{
	long page = sysconf(_SC_PAGESIZE);

	consumed = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, ring, 0);
	produced = mmap(NULL, page + 2 * RING_SIZE, PROT_READ, MAP_SHARED, ring, page);
	if (consumed == MAP_FAILED || produced == MAP_FAILED)
		die("mmap");
	records = (const char *)produced + page;
}

/* A line for each; how many there were. */
static u64 drain(FILE *log)
{
	u64 place = *consumed, found = 0;

	while (place < __atomic_load_n(produced, __ATOMIC_ACQUIRE)) {
		const u32 *header = (const u32 *)(records + (place & (RING_SIZE - 1)));
		const struct opened *event = (const void *)(header + 2);
		u32 length = __atomic_load_n(header, __ATOMIC_ACQUIRE);

		if (length & RING_BUSY)
			break;
		if (!(length & RING_DISCARD)) {
			fprintf(log, "%u openat(%d, \"%s\", %#llx)\n", (u32)(event->ids >> 32),
				event->dirfd, event->path, (unsigned long long)event->flags);
			found++;
		}
		place += (RING_HEADER + (length & ~RING_DISCARD) + 7) & ~7ULL;
		__atomic_store_n(consumed, place, __ATOMIC_RELEASE);
	}
	return found;
}

static int logged(char **argv)
{
	struct filter filter = parse(argv[3]);
	struct pollfd ready = { .fd = atoi(argv[1]), .events = POLLIN };
	FILE *log = fopen(argv[2], "w");
	u64 found = 0;
	pid_t child, ended;
	int status = 0;

	if (!log)
		die(argv[2]);
	map_ring(ready.fd);
	drain(log);	/* what an earlier measurement has left */
	child = fork();
	if (!child) {
		install(&filter, 0);
		run(open_close, atoll(argv[0]));
		exit(0);
	}
	do {
		poll(&ready, 1, 10);
		ended = waitpid(child, &status, WNOHANG);
		found += drain(log);
	} while (!ended);
	if (fclose(log))
		die(argv[2]);
	printf("records=%llu\n", (unsigned long long)found);
	return ended == child && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

#endif
