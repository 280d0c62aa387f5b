/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Running a case: load, check what has to be true of the answer, install, and
 * compare. Each loader is a process of its own for the whole run (a runner), and
 * each worker has one of each.
 */
#ifndef FUZZ_RUN_H
#define FUZZ_RUN_H

#include <sys/resource.h>
#include <sys/socket.h>

#include "check.h"
#include "hangs.h"
#include "load.h"
#include "loaders.h"
#include "programs.h"

#define MAX_WORKERS	8

/* The case that was given, where it is not to be generated from seed and index. */
static struct fuzz_case *given;
static u64 seed;

/*
 * A token for another program type is worth nothing here: what is loaded with it,
 * and why not, is what it is without it.
 */
static void compare_without_token(const struct fuzz_case *c, int code, struct slot *slot)
{
	static struct fuzz_case bare;
	static char log[LOG_SIZE];
	char reason[sizeof(slot->reason)];
	int fd, without;

	memcpy(&bare, c, sizeof(bare));
	bare.prog_flags &= ~FLAG_TOKEN_FD;
	fd = load(&bare, -1, log);
	without = fd < 0 ? errno : 0;
	if (fd >= 0)
		close(fd);
	find_reason(log, reason, sizeof(reason));
	/* Neither says anything about rights. */
	if (code == EAGAIN || code == ENOMEM || without == EAGAIN || without == ENOMEM)
		return;
	atomic_fetch_add(&shared->without_token, 1);
	if (code != without || strcmp(slot->reason, reason))
		found(slot, "permission", "with another type's token: %.40s: %.60s; without: %.40s: %.60s",
		      code ? error_name(code) : "loaded", slot->reason,
		      without ? error_name(without) : "loaded", reason);
}

static void install_and_compare(const struct fuzz_case *c, int program, struct slot *slot)
{
	char what[200];

	observe(c, program, &slot->seen[0]);
	check_seen(c, &slot->seen[0], slot);
	if (c->kind != DIFFERENTIAL)
		return;
	observe(c, -1, &slot->seen[1]);
	/* Cut down by a minimiser it may be no classic filter any more. */
	if (slot->seen[1].installed == EINVAL && given)
		return;
	check_seen(c, &slot->seen[1], slot);
	atomic_fetch_add(&shared->compared, 1);
	if (differ(c, &slot->seen[1], &slot->seen[0], what, sizeof(what)))
		found(slot, "mismatch", "%s", what);
}

/* --- runners ---------------------------------------------------------------------------- */

/* The program stays loaded until the next case, for the worker to look into. */
static void run_case(const struct fuzz_case *c, u64 index, struct slot *slot, int *program)
{
	static char log[LOG_SIZE];

	if (*program >= 0)
		close(*program);
	*program = -1;
	slot->check_id = 0;
	slot->finding[0] = 0;
	atomic_fetch_add(&shared->by_loader[c->loader][0], 1);
	if (hangs_the_base(c)) {
		slot->load_error = ELOOP;
		strcpy(slot->reason, "not loaded, it calls itself, and 7.3 may not come back");
		count_outcome(slot->load_error, slot->reason, index);
		return;
	}
	*program = load(c, token_fd, log);
	slot->load_error = *program < 0 ? errno : 0;
	find_reason(log, slot->reason, sizeof(slot->reason));
	if (slot->load_error == EAGAIN && gave_up)
		strcpy(slot->reason, "verifier interrupted, it took too long");
	count_outcome(slot->load_error, slot->reason, index);
	check_load(c, slot->load_error, slot);
	/* Yama, asked twice, may give two answers. */
	if (c->loader == TOKEN_OTHER && c->scope != SCOPE_FLIP)
		compare_without_token(c, slot->load_error, slot);
	if (*program < 0)
		return;
	atomic_fetch_add(&shared->by_loader[c->loader][1], 1);
	slot->check_id = program_id(*program);
	if (!slot->check_id)
		found(slot, "check", "the loaded program has no id: %s", strerror(errno));
	install_and_compare(c, *program, slot);
}

/*
 * A token has to do what it is for, or all that its holder loads is what anybody
 * may load, and nobody notices. Functions take CAP_BPF.
 */
static bool prove_token(enum loader loader)
{
	static struct fuzz_case c;
	static char log[LOG_SIZE];
	int with, without;

	c.gpl = true;
	put(&c, BPF_JMP | BPF_CALL, 0, PSEUDO_CALL, 0, 1);
	put_exit(&c);
	put(&c, ALU32_K(BPF_MOV), R0, 0, 0, RET_ALLOW);
	put_exit(&c);
	without = load(&c, -1, log);
	with = load(&c, token_fd, log);
	if ((with >= 0) == has_bpf(loader) && without < 0) {
		close(with);
		return true;
	}
	fprintf(stderr, "fuzz: %s: a program with functions was %s with the token, %s without: %s\n",
		loader_names[loader], with < 0 ? "refused" : "loaded",
		without < 0 ? "refused" : "loaded", log);
	return false;
}

static bool equip(enum loader loader)
{
	if (!names_token(loader))
		return true;
	if (!make_maps(token_fd))
		return false;
	set_element(PROGS, &allow_fd);
	return prove_token(loader);
}

static void runner(enum loader loader, int channel, struct slot *slot)
{
	static struct fuzz_case own;
	const struct fuzz_case *c = given ? given : &own;
	int program = -1;
	u64 request[3];	/* index; the sysctls, as the main process has set them */

	struct sigaction action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };

	sigaction(SIGALRM, &action, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	if (!become(loader) || !equip(loader)) {
		fprintf(stderr, "fuzz: cannot become %s: %s\n", loader_names[loader], strerror(errno));
		_exit(3);
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* reset by a change of ids */
	while (read(channel, request, sizeof(request)) == sizeof(request)) {
		yama_scope = (int)request[1];
		unprivileged_disabled = (int)request[2];
		if (!given)
			generate(&own, seed, request[0]);
		run_case(c, request[0], slot, &program);
		if (write(channel, "", 1) != 1)
			break;
	}
	_exit(0);
}

struct team {
	int channels[LOADERS];
	struct slot *slots;
};

static void *share(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED) {
		perror("fuzz: mmap");
		exit(3);
	}
	return memory;
}

static void start_team(struct team *team)
{
	team->slots = share(LOADERS * sizeof(struct slot));
	for (int loader = 0; loader < LOADERS; loader++) {
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
			perror("fuzz: socketpair");
			exit(3);
		}
		if (!fork()) {
			close(pair[0]);
			runner(loader, pair[1], &team->slots[loader]);
		}
		close(pair[1]);
		team->channels[loader] = pair[0];
	}
}

/* Have a case run by its loader; what came of it is in the slot. */
static struct slot *hand_over(struct team *team, const struct fuzz_case *c, u64 index)
{
	struct slot *slot = &team->slots[c->loader];
	u64 request[3] = { index, (u64)(s64)yama_scope, (u64)(s64)unprivileged_disabled };
	struct pollfd fd = { team->channels[c->loader], POLLIN, 0 };
	bool done;
	char answer;

	/* Loading, twice perhaps, and two children: all of that comes to an end by itself. */
	done = write(fd.fd, request, sizeof(request)) == sizeof(request);
	if (done && !poll(&fd, 1, 4000 * patience)) {
		snprintf(slot->finding, sizeof(slot->finding), "stuck");
		snprintf(slot->what, sizeof(slot->what),
			 "the loader is not back after %d s: the verifier does not end, nor for a signal",
			 4 * patience);
		tell_finding(c, index, slot->finding, slot->what);
		exit(3);
	}
	if (!done || read(fd.fd, &answer, 1) != 1) {
		found(slot, "runner", "the process of the loader %s was lost", loader_names[c->loader]);
		tell_finding(c, index, slot->finding, slot->what);
		exit(3);
	}
	if (slot->check_id)
		check_translated(c, slot);
	if (slot->finding[0])
		tell_finding(c, index, slot->finding, slot->what);
	return slot;
}

#endif
