/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Running a case: load, check what has to be true of the answer, install, and
 * compare. Each loader is a process of its own for the whole run (a runner), and
 * each worker has one of each.
 */
#ifndef FUZZ_RUN_H
#define FUZZ_RUN_H

#include <sys/resource.h>
#include <sys/socket.h>

#include "programs.h"
#include "helpers.h"
#include "install.h"
#include "loaders.h"

#define LOG_SIZE	(1 << 17)
#define MAX_WORKERS	8

/* What a runner leaves for its worker. */
struct slot {
	struct observation seen[2];
	int load_error;
	u32 check_id;		/* a program to look into, with root's eyes */
	char reason[200];	/* the verifier's */
	char finding[24];	/* "" if there is none */
	char what[256];
};

/* The case that was given, where it is not to be generated from seed and index. */
static struct fuzz_case *given;
static u64 seed;

/* Set when a load took too long. */
static volatile sig_atomic_t gave_up, loading;

static u32 load_seconds(void)
{
	return patience < 9 ? 3 : patience / 3;
}

static void on_alarm(int number)
{
	(void)number;
	gave_up = 1;
	/* Once more, should the first have come before the system call did. */
	if (loading)
		alarm(1);
}

/* --- loading ---------------------------------------------------------------------------- */

/* ``token`` is named, unless it is -1. */
static int load(const struct fuzz_case *c, int token, char *log)
{
	static struct bpf_insn linked[MAX_INSNS];
	static s32 fd_array[MAPS];
	struct load_attr attr = {
		.prog_type = PROG_TYPE_SECCOMP,
		.insn_cnt = c->n_insns,
		.insns = (u64)(uintptr_t)linked,
		.license = (u64)(uintptr_t)(c->gpl ? "GPL" : "Proprietary"),
		.log_level = LOG_STATS,
		.log_size = LOG_SIZE,
		.log_buf = (u64)(uintptr_t)log,
		.prog_flags = c->prog_flags,
		.prog_name = "fuzz",
		.expected_attach_type = c->attach_type,
	};
	int fd, code;

	if (token >= 0) {
		attr.prog_flags |= FLAG_TOKEN_FD;
		attr.prog_token_fd = token;
	}
	/* Without a count, an index out of bounds would be EFAULT. */
	if (c->fd_array_cnt) {
		for (u32 i = 0; i < ARRAY_SIZE(fd_array); i++)
			fd_array[i] = MAP_FD(i);
		attr.fd_array = (u64)(uintptr_t)fd_array;
		attr.fd_array_cnt = c->fd_array_cnt < MAPS ? c->fd_array_cnt : MAPS;
	}
	link_case(c, linked);
	log[0] = 0;
	/* There are programs of fifty instructions on which the verifier spends many minutes: states
	 * that it keeps, and compares with. It gives up when a signal is pending, with EAGAIN. */
	gave_up = 0;
	loading = 1;
	alarm(load_seconds());
	fd = bpf(BPF_PROG_LOAD, &attr, sizeof(attr));
	code = errno;
	loading = 0;
	alarm(0);
	errno = code;
	return fd;
}

#define MAX_STARTS	24	/* functions of a program that are told apart */

static bool refers_to_function(const struct bpf_insn *insn)
{
	return (insn->code == (BPF_JMP | BPF_CALL) && insn->src_reg == PSEUDO_CALL) ||
	       (insn->code == (BPF_LD | BPF_IMM | BPF_DW) && insn->src_reg == PSEUDO_FUNC);
}

/*
 * 7.3 has an endless loop in check_max_stack_depth_subprog(), whatever the program
 * type: a call that goes round in code that is never reached is not refused as
 * recursion, since sort_subprogs_topo() comes after dead branches were pruned; then
 * stack frames are added up, and when they are more than 512 bytes, the callers are
 * counted along a chain that has no end. No signal ends that, and the CPU is lost.
 * With eight frames of 64 bytes the number of frames is refused first.
 */
static u32 stack_use(const struct fuzz_case *c)
{
	s32 load = 0, pointer = 0;

	for (u32 i = 0; i < c->n_insns; i++) {
		const struct bpf_insn *insn = &c->insns[i];
		u8 class = BPF_CLASS(insn->code);

		if (insn->code == (BPF_LD | BPF_IMM | BPF_DW)) {
			i++;
		} else if (class == BPF_LDX || class == BPF_ST || class == BPF_STX) {
			if (insn->off < load)
				load = insn->off;
		} else if (insn->code == ALU64_K(BPF_ADD)) {
			if (insn->imm < pointer)
				pointer = insn->imm < -512 ? -512 : insn->imm;
		} else if (class == BPF_ALU64 && BPF_OP(insn->code) <= BPF_SUB) {
			pointer = -512;
		}
	}
	return -load - pointer;
}

/* Whether a function, main among them, can come to call itself, in code that is reached or not. */
static bool calls_itself(const struct fuzz_case *c)
{
	static bool leads[MAX_STARTS][MAX_STARTS];
	u32 starts[MAX_STARTS] = { 0 }, count = 1;

	for (u32 i = 0; i < c->n_insns; i++) {
		u32 target = i + 1 + c->insns[i].imm, known = 0;

		if (!refers_to_function(&c->insns[i]) || target >= c->n_insns)
			continue;
		while (known < count && starts[known] != target)
			known++;
		if (known == MAX_STARTS)
			return true;
		if (known == count)
			starts[count++] = target;
	}
	memset(leads, 0, sizeof(leads));
	for (u32 i = 0; i < c->n_insns; i++) {
		u32 target = i + 1 + c->insns[i].imm, from = 0, to = 0;

		if (!refers_to_function(&c->insns[i]) || target >= c->n_insns)
			continue;
		for (u32 k = 0; k < count; k++) {
			if (starts[k] <= i && starts[k] >= starts[from])
				from = k;
			if (starts[k] == target)
				to = k;
		}
		leads[from][to] = true;
	}
	for (u32 via = 0; via < count; via++)
		for (u32 from = 0; from < count; from++)
			for (u32 to = 0; to < count; to++)
				leads[from][to] |= leads[from][via] && leads[via][to];
	for (u32 k = 0; k < count; k++)
		if (leads[k][k])
			return true;
	return false;
}

/* The callers are gone through for these too, whatever the stack. */
static bool looks_at_callers(const struct fuzz_case *c)
{
	for (u32 i = 0; i < c->n_insns; i++) {
		const struct bpf_insn *insn = &c->insns[i];
		u8 mode = BPF_MODE(insn->code);

		if (insn->code == (BPF_JMP | BPF_CALL) && insn->imm == BPF_FUNC_tail_call)
			return true;
		if (BPF_CLASS(insn->code) == BPF_LD && (mode == BPF_ABS || mode == BPF_IND))
			return true;
	}
	return false;
}

static bool hangs_the_base(const struct fuzz_case *c)
{
	return (stack_use(c) > 64 || looks_at_callers(c)) && calls_itself(c);
}

/*
 * What a load may answer, and why. Documented in bpf(2) or said by the verifier
 * with a message of its own. EFAULT is not among them: the verifier uses it for
 * what it takes for its own mistakes ("verifier bug").
 */
static const int expected_errors[] = {
	EACCES, EINVAL, EPERM, E2BIG, EBADF, ENOENT, ENOMEM, EOPNOTSUPP, ERANGE, ENOSPC,
	/* The base's: no fd_array for what needs one (kernel/bpf/verifier.c). */
	EPROTO,
	/* The base's, though no errno of user space's: ENOTSUPP for the value of an array with
	 * more than one element (kernel/bpf/arraymap.c), for example. */
	524,
};

static bool is_expected_error(int code)
{
	for (u32 i = 0; i < ARRAY_SIZE(expected_errors); i++)
		if (expected_errors[i] == code)
			return true;
	return false;
}

static u32 program_id(int fd)
{
	u32 info[2] = { 0, 0 };
	struct {
		u32 fd, size;
		u64 info;
	} attr = { fd, sizeof(info), (u64)(uintptr_t)info };

	if (bpf(BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr)))
		return 0;
	return info[1];
}

static bool calls(const struct fuzz_case *c, u8 src)
{
	for (u32 i = 0; i < c->n_insns; i++)
		if (c->insns[i].code == (BPF_JMP | BPF_CALL) && c->insns[i].src_reg == src)
			return true;
	return false;
}

/* Maps (by whatever way), kernel variables: each is looked up, whether it is reached or not. */
static bool names_objects(const struct fuzz_case *c, bool variables_only)
{
	if (c->fd_array_cnt && !variables_only)
		return true;
	for (u32 i = 0; i + 1 < c->n_insns; i++) {
		const struct bpf_insn *insn = &c->insns[i];

		if (insn->code != (BPF_LD | BPF_IMM | BPF_DW))
			continue;
		if (variables_only ? insn->src_reg == PSEUDO_BTF_ID :
				     insn->src_reg && insn->src_reg != PSEUDO_FUNC)
			return true;
		i++;
	}
	return false;
}

static void found(struct slot *slot, const char *kind, const char *format, ...)
{
	va_list arguments;

	if (slot->finding[0])
		return;
	snprintf(slot->finding, sizeof(slot->finding), "%s", kind);
	va_start(arguments, format);
	vsnprintf(slot->what, sizeof(slot->what), format, arguments);
	va_end(arguments);
}

/* Flags that no program type has, or one that says that there is a token, where none is. */
static bool bad_flags(const struct fuzz_case *c)
{
	return c->prog_flags & ~(FLAG_TOKEN_FD | ((1U << 8) - 1)) ||
	       (c->prog_flags & FLAG_TOKEN_FD && !names_token(c->loader));
}

static void check_load(const struct fuzz_case *c, int code, struct slot *slot)
{
	bool denied = c->scope != SCOPE_FLIP && denied_state(c->loader, c->scope);
	bool may_load = has_bpf(c->loader) || !unprivileged_disabled;

	if (bad_flags(c)) {
		if (code != EINVAL && code != EBADF)
			found(slot, "errno", "bad flags %#x: %s", c->prog_flags,
			      code ? error_name(code) : "loaded");
		return;
	}
	/* Before anything is looked at. */
	if (!may_load) {
		if (code != EPERM)
			found(slot, "permission", "without CAP_BPF, while that is disabled: %s",
			      code ? error_name(code) : "loaded");
		return;
	}
	if (code) {
		if (code == EAGAIN && gave_up)
			return;
		if (!is_expected_error(code))
			found(slot, "errno", "refused with %s: %s", error_name(code), slot->reason);
		/* What the verifier refuses with it, it gives a reason for. */
		if (code == EPERM && has_bpf(c->loader) && !slot->reason[0])
			found(slot, "errno", "EPERM for %s", loader_names[c->loader]);
		if (c->kind == DIFFERENTIAL && code != ENOMEM)
			found(slot, "refused", "a classic filter's translation: %s: %s",
			      error_name(code), slot->reason);
		return;
	}
	if (denied && names_objects(c, false))
		found(slot, "permission", "loaded with a map or a kernel variable, though denied");
	if (!has_memory(c->loader) && names_objects(c, true))
		found(slot, "permission", "%s loaded with a kernel variable", loader_names[c->loader]);
	if (c->attach_type || c->prog_flags & BPF_F_SLEEPABLE)
		found(slot, "permission", "loaded with an attach type, or sleepable");
}

/* A loop, or functions: only capable loaders have them. */
static bool takes_capability(const struct bpf_insn *insn)
{
	u8 class = BPF_CLASS(insn->code), op = BPF_OP(insn->code);

	if (insn->code == (BPF_JMP | BPF_CALL))
		return insn->src_reg == PSEUDO_CALL;
	if ((class != BPF_JMP && class != BPF_JMP32) || op == BPF_CALL || op == BPF_EXIT)
		return false;
	/* "goto itself" is what the verifier leaves of code that is not reached. */
	if (op == BPF_JA && insn->off == -1)
		return false;
	return (insn->code == (BPF_JMP32 | BPF_JA) ? insn->imm : insn->off) < 0;
}

/* A call that is left of a program: rights, and whether it is state. */
static bool check_call(const struct fuzz_case *c, const struct bpf_insn *insn, struct slot *slot)
{
	const struct function *function;

	if (insn->src_reg == PSEUDO_KFUNC_CALL)
		found(slot, "permission", "loaded with a call of a kernel function");
	if (insn->src_reg)
		return false;
	function = called(insn->imm);
	if (function && !has_right(c->loader, function->right))
		found(slot, "permission", "%s loaded with %s()", loader_names[c->loader],
		      function->name);
	return !function || function->right != INSERTED;
}

/* What is left of a program after verification, and what its loader may have. */
static void check_translated(const struct fuzz_case *c, struct slot *slot)
{
	static struct bpf_insn insns[MAX_INSNS];
	struct {
		u32 id, next, flags;
	} by_id = { slot->check_id };
	struct bpf_prog_info info = {
		.xlated_prog_len = sizeof(insns),
		.xlated_prog_insns = (u64)(uintptr_t)insns,
	};
	struct {
		u32 fd, size;
		u64 info;
	} attr = { 0, sizeof(info), (u64)(uintptr_t)&info };
	bool denied = c->scope != SCOPE_FLIP && denied_state(c->loader, c->scope);
	int fd = bpf(BPF_PROG_GET_FD_BY_ID, &by_id, sizeof(by_id));

	attr.fd = fd;
	if (fd < 0 || bpf(BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr))) {
		found(slot, "check", "the loaded program cannot be looked into: %s", strerror(errno));
	} else {
		u32 count = info.xlated_prog_len / sizeof(insns[0]);

		bool state = info.nr_map_ids, helpers = calls(c, 0);

		for (u32 i = 0; i < count && i < MAX_INSNS; i++) {
			if (insns[i].code == (BPF_JMP | BPF_CALL))
				state |= check_call(c, &insns[i], slot) && helpers;
			if (!has_bpf(c->loader) && takes_capability(&insns[i]))
				found(slot, "permission", "loaded with a loop or a function");
		}
		atomic_fetch_add(&shared->inspected, 1);
		if (denied && state)
			found(slot, "permission", "loaded with maps or helpers, though denied");
		if (c->scope != SCOPE_FLIP && denied_installing(c) && state &&
		    slot->seen[0].installed == 0)
			found(slot, "permission", "installed with state, though denied");
	}
	if (fd >= 0)
		close(fd);
}

/* --- installing ------------------------------------------------------------------------- */

static void check_seen(const struct fuzz_case *c, const struct observation *seen, struct slot *slot)
{
	bool capable = may_install(c->loader) && !c->drops;
	int expected = c->no_new_privs || capable ? 0 : EACCES;
	bool state = names_objects(c, false) || calls(c, 0);

	if (seen->hung)
		found(slot, "hang", "a child was still running after %d s, after %u calls", patience,
		      seen->done);
	if (seen->status == -1)
		return;
	if (!seen->installed && names_objects(c, false) && c->scope != SCOPE_FLIP && denied_installing(c))
		found(slot, "permission", "installed with maps or kernel variables, though denied");
	/* Helpers may be left out by the verifier: check_translated() knows. */
	if (seen->installed == EPERM && !expected && state &&
	    (c->scope == SCOPE_FLIP || denied_installing(c)))
		return;
	/* A notifier beneath does not refuse seccomp(2). */
	if (seen->installed != expected && seen->installed != ENOMEM)
		found(slot, "install", "installing: %s instead of %s",
		      seen->installed > 0 ? error_name(seen->installed) : "no answer",
		      expected ? error_name(expected) : "success");
}

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
