/* SPDX-License-Identifier: GPL-2.0-only */
/* The time of calls that another process answers. */
#ifndef BENCH_NOTIFY_H
#define BENCH_NOTIFY_H

#include <signal.h>
#include <sys/ioctl.h>

#include "filters.h"
#include "workloads.h"

/* Headers of a build machine may be older. */
#define SET_FLAGS	_IOW('!', 4, u64)	/* SECCOMP_IOCTL_NOTIF_SET_FLAGS */
#define SYNC_WAKE_UP	1UL			/* SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP */
#define CONTINUE	1			/* SECCOMP_USER_NOTIF_FLAG_CONTINUE */

/* Refuses getppid(), with an error of the workload. */
static void supervise(int listener, u64 calls, int error)
{
	struct seccomp_notif asked;
	struct seccomp_notif_resp answer;

	while (calls--) {
		memset(&asked, 0, sizeof(asked));
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked))
			die("SECCOMP_IOCTL_NOTIF_RECV");
		answer = (struct seccomp_notif_resp){ .id = asked.id };
		if (asked.data.nr == SYS_getppid)
			answer.error = -error;
		else
			answer.flags = CONTINUE;
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer))
			die("SECCOMP_IOCTL_NOTIF_SEND");
	}
}

static int take(pid_t child, int descriptor)
{
	int process = syscall(SYS_pidfd_open, child, 0);

	return syscall(SYS_pidfd_getfd, process, descriptor, 0);
}

static int notify(char **argv)
{
	u64 (*work)(u64) = workload(argv[0]);
	u64 count = atoll(argv[1]);
	struct filter filter = parse(argv[3]);
	int up[2], down[2], listener;
	pid_t child;

	if (pipe(up) || pipe(down))
		die("pipe");
	child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		listener = install(&filter, SECCOMP_FILTER_FLAG_NEW_LISTENER);
		if (write(up[1], &listener, sizeof(listener)) < 0)
			die("write");
		/* Until the supervisor has it. */
		if (read(down[0], &listener, sizeof(listener)) < 0)
			die("read");
		run(work, count);
		exit(0);
	}
	close(up[1]);
	if (read(up[0], &listener, sizeof(listener)) != sizeof(listener))
		return exit_code(child) ?: 1;
	listener = take(child, listener);
	if (listener < 0)
		die("pidfd_getfd");
	if (atoi(argv[2]) && ioctl(listener, SET_FLAGS, SYNC_WAKE_UP))
		die("SECCOMP_IOCTL_NOTIF_SET_FLAGS");
	if (write(down[1], &listener, sizeof(listener)) < 0)
		die("write");
	supervise(listener, count, work == mixed ? EPERM : FAULT);
	return exit_code(child);
}

#endif
