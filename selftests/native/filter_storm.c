// SPDX-License-Identifier: GPL-2.0-only
/*
 * Install filters by a thread while other threads fork, or execute a program.
 * Python cannot: its threads take turns.
 *
 *	filter_storm fork FILTER...
 *	filter_storm exec leader|thread WHEN SHARED FILTER...
 *	filter_storm look COUNT
 *
 * FILTER is a descriptor, with a "+" before it to install with TSYNC; filter
 * number K answers getppid(K) with the errno BASE + K. See harness/storm.py.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SET_MODE_FILTER	1
#define TSYNC		(1UL << 0)
#define EXTENDED	(1UL << 6)

#define BASE		200
#define MOST		100	/* filters */
#define HOLES		255	/* exit code: not the first ones of all filters */
#define STORMERS	3
#define BURST		4
#define OWN		2	/* children of the installing thread per filter */

static int filters[MOST], tsync[MOST], count;

/* How many filters, from the first, all threads have for sure, or may have. */
static struct progress {
	atomic_int returned, begun;
} own, *progress = &own;

static atomic_int stop, started, forks, wrong, overlaps;
static atomic_int tally[MOST + 1];

static void die(const char *what)
{
	perror(what);
	_exit(99);
}

/* How many filters the caller has; all are asked for, each call by each. */
static int have(int of)
{
	int found = 0, holes = 0, k;

	for (k = 0; k < of; k++) {
		if (syscall(SYS_getppid, k) != -1)
			continue;
		holes |= errno != BASE + k || found != k;
		found++;
	}
	return holes ? HOLES : found;
}

/* Has to have the same filters as its own child, which has one parent only. */
static void child(void)
{
	int mine, status;
	pid_t pid;

	pid = fork();
	if (pid == 0)
		_exit(have(count));
	mine = have(count);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		_exit(HOLES);
	_exit(WEXITSTATUS(status) == mine ? mine : HOLES);
}

struct born {
	pid_t pid;
	int least, most, installer;
};

static struct born bear(int least)
{
	struct born born = { .least = least };

	born.pid = fork();
	if (born.pid == 0)
		child();
	if (born.pid < 0)
		die("fork");
	atomic_fetch_add(&forks, 1);
	return born;
}

static void judge(const struct born *born)
{
	int status, code;

	if (waitpid(born->pid, &status, 0) != born->pid)
		die("waitpid");
	code = WIFEXITED(status) ? WEXITSTATUS(status) : HOLES;
	/* TSYNC is all or nothing: what comes last with others came by it. */
	if (code < born->least || code > born->most ||
	    (!born->installer && code && !tsync[code - 1]))
		atomic_fetch_add(&wrong, 1);
	else
		atomic_fetch_add(&tally[code], 1);
	if (born->least < born->most)
		atomic_fetch_add(&overlaps, 1);
}

static void *storm(void *unused)
{
	struct born born[BURST];
	int i;

	while (!atomic_load(&stop)) {
		for (i = 0; i < BURST; i++) {
			born[i] = bear(atomic_load(&progress->returned));
			born[i].most = atomic_load(&progress->begun);
		}
		for (i = 0; i < BURST; i++)
			judge(&born[i]);
	}
	return unused;
}

static void install(int k)
{
	if (tsync[k])
		atomic_store(&progress->begun, k + 1);
	if (syscall(SYS_seccomp, SET_MODE_FILTER, EXTENDED | (tsync[k] ? TSYNC : 0), &filters[k]))
		die("seccomp");
	if (tsync[k])
		atomic_store(&progress->returned, k + 1);
}

/* In the middle of the storm; its own children have whatever it has. */
static void *install_all(void *unused)
{
	struct born born[OWN];
	int i, k, seen;

	for (k = 0; k < count; k++) {
		seen = atomic_load(&forks);
		while (atomic_load(&forks) < seen + STORMERS)
			sched_yield();
		install(k);
		for (i = 0; i < OWN; i++) {
			born[i] = bear(k + 1);
			born[i].most = k + 1;
			born[i].installer = 1;
		}
		for (i = 0; i < OWN; i++)
			judge(&born[i]);
	}
	atomic_store(&stop, 1);
	return unused;
}

static void start(pthread_t *thread, void *(*body)(void *))
{
	errno = pthread_create(thread, NULL, body, NULL);
	if (errno)
		die("pthread_create");
}

static int fork_storm(void)
{
	pthread_t threads[STORMERS + 1];
	int i;

	for (i = 0; i < STORMERS; i++)
		start(&threads[i], storm);
	start(&threads[i], install_all);
	for (i = 0; i <= STORMERS; i++)
		pthread_join(threads[i], NULL);

	printf("%d %d", atomic_load(&wrong), atomic_load(&overlaps));
	for (i = 0; i <= count; i++)
		printf(" %d", atomic_load(&tally[i]));
	printf("\n");
	return 0;
}

static int when;

static void *execute(void *unused)
{
	char number[12];

	snprintf(number, sizeof(number), "%d", count);
	atomic_fetch_add(&started, 1);
	while (atomic_load(&progress->begun) < when)
		;
	execl("/proc/self/exe", "filter_storm", "look", number, NULL);
	die("execl");
	return unused;
}

static void *install_at_once(void *unused)
{
	int k;

	atomic_fetch_add(&started, 1);
	for (k = 0; k < count; k++)
		install(k);
	for (;;)
		pause();
	return unused;
}

/* A third party: neither installs nor executes, and is gone with the exec. */
static void *stand_by(void *unused)
{
	atomic_fetch_add(&started, 1);
	for (;;)
		usleep(50);
	return unused;
}

static int exec_storm(const char *who, const char *shared)
{
	int leader = !strcmp(who, "leader");
	pthread_t thread;

	progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED,
			atoi(shared), 0);
	if (progress == MAP_FAILED)
		die("mmap");
	start(&thread, stand_by);
	start(&thread, leader ? stand_by : execute);
	while (atomic_load(&started) < 2)
		sched_yield();
	if (!leader)
		install_at_once(NULL);
	start(&thread, install_at_once);
	execute(NULL);
	return 99;
}

/* Of the program executed: its filters, and what /proc says of it. */
static int look(int of)
{
	static const char * const fields[] = {
		"Threads:", "NoNewPrivs:", "Seccomp:", "Seccomp_filters:",
	};
	char line[256];
	FILE *status;
	size_t i;

	printf("%d", have(of));
	status = fopen("/proc/self/status", "r");
	if (!status)
		die("/proc/self/status");
	while (fgets(line, sizeof(line), status))
		for (i = 0; i < sizeof(fields) / sizeof(*fields); i++)
			if (!strncmp(line, fields[i], strlen(fields[i])))
				printf(" %d", atoi(line + strlen(fields[i])));
	printf("\n");
	return 0;
}

static void take_filters(char **arguments)
{
	for (; *arguments && count < MOST; arguments++, count++) {
		tsync[count] = **arguments == '+';
		filters[count] = atoi(*arguments + tsync[count]);
	}
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "look"))
		return look(atoi(argv[2]));
	if (argc > 2 && !strcmp(argv[1], "fork")) {
		take_filters(argv + 2);
		return fork_storm();
	}
	if (argc > 5 && !strcmp(argv[1], "exec")) {
		when = atoi(argv[3]);
		take_filters(argv + 5);
		return exec_storm(argv[2], argv[4]);
	}
	return 98;
}
