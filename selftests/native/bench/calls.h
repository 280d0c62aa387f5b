/* SPDX-License-Identifier: GPL-2.0-only */
/* The time of calls, in one thread or several. */
#ifndef BENCH_CALLS_H
#define BENCH_CALLS_H

#include <pthread.h>

#include "filters.h"
#include "workloads.h"

#define THREADS_MAX	64

static pthread_barrier_t barrier;

static struct worker {
	pthread_t thread;
	u64 (*work)(u64);
	u64 calls, begun, ended, refused;
} workers[THREADS_MAX];

static void *loop(void *argument)
{
	struct worker *worker = argument;

	pthread_barrier_wait(&barrier);
	worker->begun = now();
	worker->refused = worker->work(worker->calls);
	worker->ended = now();
	return NULL;
}

/* From the first thread's beginning to the last one's end. */
static void in_threads(u64 (*work)(u64), u64 calls, u32 threads)
{
	u64 begun = UINT64_MAX, ended = 0, refused = 0;
	u32 i;

	pthread_barrier_init(&barrier, NULL, threads);
	for (i = 0; i < threads; i++) {
		workers[i].work = work;
		workers[i].calls = calls / threads;
		errno = pthread_create(&workers[i].thread, NULL, loop, &workers[i]);
		if (errno)
			die("pthread_create");
	}
	for (i = 0; i < threads; i++) {
		pthread_join(workers[i].thread, NULL);
		begun = workers[i].begun < begun ? workers[i].begun : begun;
		ended = workers[i].ended > ended ? workers[i].ended : ended;
		refused += workers[i].refused;
	}
	report(ended - begun, refused);
}

static int calls(char **argv)
{
	u64 (*work)(u64) = workload(argv[0]);
	u32 threads = atoi(argv[2]), copies = atoi(argv[3]);

	if (threads > THREADS_MAX)
		die("too many threads");
	if (argv[4]) {
		struct filter filter = parse(argv[4]);

		while (copies--)
			install(&filter, 0);
	}
	if (threads == 1)
		run(work, atoll(argv[1]));
	else
		in_threads(work, atoll(argv[1]), threads);
	return 0;
}

#endif
