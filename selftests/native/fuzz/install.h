/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A child process that installs a filter, makes system calls, and leaves what it
 * saw in shared memory: a filter may refuse every way to tell.
 */
#ifndef FUZZ_INSTALL_H
#define FUZZ_INSTALL_H

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "calls.h"
#include "loaders.h"
#include "report.h"

#define NOT_DONE	(-100000)
#define TRAPPED		(1LL << 40)
#define WAITED		(1LL << 41)

struct observation {
	int beneath, installed, above;	/* 0 or an errno; NOT_DONE */
	atomic_int listener;		/* a descriptor of runner and child, or -1 */
	u32 done;			/* calls that were made */
	s64 results[MAX_CALLS];
	int status;			/* wait status */
	bool hung;
};

static int allow_fd = -1;		/* an eBPF filter that allows everything */
static int patience = 30;		/* seconds for a child */

/* --- in the child ----------------------------------------------------------------------- */

static jmp_buf trap_place;
static s64 trap_result;

/* Leaves without sigreturn(2), which the filter may refuse. */
static void on_trap(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	trap_result = TRAPPED | (u32)info->si_errno;
	_longjmp(trap_place, 1);
}

/*
 * Filters see six arguments of every call: all are given, since syscall() takes
 * what is left out from wherever it would be.
 */
static long call6(long nr, u64 a, u64 b, u64 c, u64 d)
{
	return syscall(nr, a, b, c, d, 0, 0);
}

#define ADDRESS(object)	((u64)(uintptr_t)&(object))

static int install_classic(struct sock_filter *filter, u32 count, u32 flags)
{
	struct sock_fprog program = { count, filter };

	return call6(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, ADDRESS(program), 0);
}

static int install_extended(int fd, u32 flags)
{
	return call6(SYS_seccomp, SECCOMP_SET_MODE_FILTER, FLAG_EXTENDED | flags, ADDRESS(fd), 0);
}

static int answer_of(int result, struct observation *seen, u32 flags)
{
	if (result < 0)
		return errno;
	if (flags & SECCOMP_FILTER_FLAG_NEW_LISTENER)
		seen->listener = result;
	return 0;
}

static int install_companion(enum companion companion, struct observation *seen)
{
	struct sock_filter allow[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_STMT(BPF_RET | BPF_K, RET_ALLOW),
	};
	struct sock_filter error[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getuid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, RET_ERRNO | 77),
		BPF_STMT(BPF_RET | BPF_K, RET_ALLOW),
	};
	struct sock_filter notify[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getgid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, RET_ALLOW),
	};

	switch (companion) {
	case CLASSIC_ALLOW:
		return answer_of(install_classic(allow, ARRAY_SIZE(allow), 0), seen, 0);
	case CLASSIC_ERRNO:
		return answer_of(install_classic(error, ARRAY_SIZE(error), 0), seen, 0);
	case NOTIFIER:
		return answer_of(install_classic(notify, ARRAY_SIZE(notify),
						 SECCOMP_FILTER_FLAG_NEW_LISTENER),
				 seen, SECCOMP_FILTER_FLAG_NEW_LISTENER);
	case EXTENDED_ALLOW:
		return answer_of(install_extended(allow_fd, 0), seen, 0);
	default:
		return 0;
	}
}

static s64 make_call(const struct call *call)
{
	long result = syscall(call->nr, call->args[0], call->args[1], call->args[2], call->args[3],
			      call->args[4], call->args[5]);

	return result == -1 ? -errno : result;
}

/* End, though the filter may refuse exit: then by an instruction that nobody has. */
static void leave(int code)
{
	call6(SYS_exit_group, code, 0, 0, 0);
	__builtin_trap();
}

/*
 * A trap must not take this process back to its parent's place in the case: from
 * there it would go on beside it, and write into the same observation.
 */
static void grandchild(const struct fuzz_case *c)
{
	for (u32 i = 0; i < 2; i++) {
		if (c->calls[i].nr == CALL_FORK)
			continue;
		if (!_setjmp(trap_place))
			make_call(&c->calls[i]);
	}
	if (!_setjmp(trap_place))
		leave(7);
	__builtin_trap();
}

static s64 make_child(const struct fuzz_case *c)
{
	long pid = call6(SYS_clone, SIGCHLD, 0, 0, 0);
	int status = 0;

	if (pid < 0)
		return -errno;
	if (!pid)
		grandchild(c);
	/* Not by its pid: to a filter that is one more argument, which is never the same. */
	if (call6(SYS_wait4, -1, ADDRESS(status), 0, 0) < 0)
		return -errno;
	return WAITED | status;
}

/*
 * Filters see addresses, those of this function's locals too: it and its caller
 * are the same code, at the same depth, for both children that are compared.
 */
static __attribute__((noinline)) void child(const struct fuzz_case *c, int program, struct observation *seen)
{
	struct sigaction action = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_NODEFER };

	/* Its own children can be ended with it: attend(). */
	setpgid(0, 0);
	sigaction(SIGSYS, &action, NULL);
	if (c->drops)
		set_capabilities(0);
	if (c->no_new_privs)
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	seen->beneath = install_companion(c->beneath, seen);
	if (program < 0)
		seen->installed = answer_of(install_classic((struct sock_filter *)c->classic,
							    c->n_classic, c->filter_flags),
					    seen, c->filter_flags);
	else
		seen->installed = answer_of(install_extended(program, c->filter_flags), seen,
					    c->filter_flags);
	/* What the filter makes of this call is one more thing to see. */
	if (!_setjmp(trap_place))
		seen->above = install_companion(c->above, seen);
	else
		seen->above = -1;
	/* In shared memory: a local would be lost by _longjmp(). */
	for (seen->done = 0; seen->done < c->n_calls; seen->done++) {
		const struct call *call = &c->calls[seen->done];

		if (!_setjmp(trap_place))
			seen->results[seen->done] =
				call->nr == CALL_FORK ? make_child(c) : make_call(call);
		else
			seen->results[seen->done] = trap_result;
	}
	if (!_setjmp(trap_place))
		leave(42);
	__builtin_trap();
}

/* --- in its parent ---------------------------------------------------------------------- */

/* The same for the same call, so that two children get the same answers. */
static void answer_notification(int listener)
{
	struct seccomp_notif request;
	struct seccomp_notif_resp response;
	u64 hash;

	memset(&request, 0, sizeof(request));
	memset(&response, 0, sizeof(response));
	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request))
		return;
	hash = mix(request.data.nr);
	for (int a = 0; a < 6; a++)
		hash = mix(hash ^ request.data.args[a]);
	response.id = request.id;
	if (request.data.nr == SYS_exit_group || hash % 3 == 0)
		response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	else if (hash % 3 == 1)
		response.error = -1 - (int)(hash / 3 % 4000);
	else
		response.val = hash / 3 & 0xffff;
	ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
	atomic_fetch_add(&shared->notified, 1);
}

/*
 * What seccomp(2) has returned may be what a filter has made of it: any number, and
 * what else has that number must not be closed. No notification has the id 0.
 */
static bool is_listener(int fd)
{
	u64 id = 0;

	return fd >= 0 && ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) && errno == ENOENT;
}

static u64 milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ULL + now.tv_nsec / 1000000;
}

/* Wait for a child, answering its notifications; kill it when it takes too long. */
static void attend(pid_t pid, int pidfd, struct observation *seen)
{
	u64 end = milliseconds() + patience * 1000ULL;
	bool closed = false;

	for (;;) {
		int listener = !closed && is_listener(seen->listener) ? seen->listener : -1;
		struct pollfd fds[] = { { pidfd, POLLIN, 0 }, { listener, POLLIN, 0 } };
		/* A listener that appears while this waits is seen a moment later. */
		int ready = poll(fds, 2, listener < 0 && !closed ? 5 : 500);

		if (fds[0].revents)
			break;
		if (ready > 0 && fds[1].revents & POLLIN)
			answer_notification(listener);
		else if (ready > 0 && fds[1].revents)
			closed = true;
		if (milliseconds() > end) {
			seen->hung = true;
			kill(pid, SIGKILL);
			break;
		}
	}
	if (is_listener(seen->listener))
		close(seen->listener);
	close(pidfd);
	/*
	 * Its children, where the filter did not let it wait for them: one that has inherited
	 * the listener waits for its own answer, for ever. The child still holds the number.
	 */
	kill(-pid, SIGKILL);
	while (waitpid(pid, &seen->status, __WALL) < 0 && errno == EINTR)
		;
	while (waitpid(-1, NULL, __WALL) > 0)
		;
}

/* Run a case's calls under its eBPF program, or, without one, under its classic program. */
static __attribute__((noinline)) void observe(const struct fuzz_case *c, int program, struct observation *seen)
{
	int pidfd = -1;
	pid_t pid;

	memset(seen, 0, sizeof(*seen));
	seen->listener = -1;
	seen->beneath = seen->installed = seen->above = NOT_DONE;
	/* The descriptors are shared: a listener of the child's is one of this process too. */
	pid = syscall(SYS_clone, CLONE_FILES | CLONE_PIDFD | SIGCHLD, 0, &pidfd, 0, 0);
	if (!pid) {
		child(c, program, seen);
		_exit(99);
	}
	if (pid < 0) {
		seen->status = -1;
		return;
	}
	attend(pid, pidfd, seen);
	atomic_fetch_add(&shared->children, 1);
	atomic_fetch_add(&shared->calls, seen->done);
}

static bool differ(const struct fuzz_case *c, const struct observation *classic,
		   const struct observation *extended, char *what, size_t size)
{
	if (classic->installed != extended->installed) {
		snprintf(what, size, "installing: classic %d, eBPF %d", classic->installed,
			 extended->installed);
		return true;
	}
	if (classic->above != extended->above) {
		snprintf(what, size, "installing another above: classic %d, eBPF %d",
			 classic->above, extended->above);
		return true;
	}
	for (u32 i = 0; i < classic->done && i < extended->done; i++)
		if (classic->results[i] != extended->results[i]) {
			snprintf(what, size,
				 "call %u (nr %" PRId64 "): classic %" PRId64 ", eBPF %" PRId64, i,
				 c->calls[i].nr, classic->results[i], extended->results[i]);
			return true;
		}
	if (classic->done != extended->done || classic->status != extended->status) {
		snprintf(what, size,
			 "end: classic after %u calls with status %#x, eBPF after %u with %#x",
			 classic->done, classic->status, extended->done, extended->status);
		return true;
	}
	return false;
}

#endif
