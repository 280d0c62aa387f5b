/* SPDX-License-Identifier: GPL-2.0-only */
/* The time of calls that a tracer decides about. */
#ifndef BENCH_TRACE_H
#define BENCH_TRACE_H

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/user.h>

#include "filters.h"
#include "workloads.h"

#define NOT_HERE	77	/* exit code: this architecture has no such measurement */

/* Headers of a build machine may be older. */
#define EVENT_SECCOMP	(SIGTRAP | 7 << 8)	/* PTRACE_EVENT_SECCOMP */
#define O_SECCOMP	(1 << 7)		/* PTRACE_O_TRACESECCOMP */
#define O_KILL		(1 << 20)		/* PTRACE_O_EXITKILL */

#ifdef __x86_64__
static void decide(pid_t child)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, child, 0, &regs))
		die("PTRACE_GETREGS");
	if (regs.orig_rax != SYS_getppid)
		return;
	regs.orig_rax = -1;
	regs.rax = -EPERM;
	if (ptrace(PTRACE_SETREGS, child, 0, &regs))
		die("PTRACE_SETREGS");
}

static int trace(char **argv)
{
	struct filter filter = parse(argv[1]);
	int status = 0;
	pid_t child;

	child = fork();
	if (!child) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		install(&filter, 0);
		run(mixed, atoll(argv[0]));
		exit(0);
	}
	if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
		die("waitpid");
	if (ptrace(PTRACE_SETOPTIONS, child, 0, O_SECCOMP | O_KILL))
		die("PTRACE_SETOPTIONS");
	for (;;) {
		if (ptrace(PTRACE_CONT, child, 0, 0) || waitpid(child, &status, 0) != child)
			die("PTRACE_CONT");
		if (!WIFSTOPPED(status))
			return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
		if (status >> 8 == EVENT_SECCOMP)
			decide(child);
	}
}
#else
static int trace(char **argv)
{
	fprintf(stderr, "the tracer knows the registers of x86-64 alone\n");
	return NOT_HERE;
}
#endif

#endif
