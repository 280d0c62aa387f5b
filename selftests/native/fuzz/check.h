/* SPDX-License-Identifier: GPL-2.0-only */
/* What has to be true of the kernel's answers: to loading, in what is left, to installing. */
#ifndef FUZZ_CHECK_H
#define FUZZ_CHECK_H

#include "helpers.h"
#include "install.h"
#include "load.h"
#include "loaders.h"

/* What a runner leaves for its worker. */
struct slot {
	struct observation seen[2];
	int load_error;
	u32 check_id;		/* a program to look into, with root's eyes */
	char reason[200];	/* the verifier's */
	char finding[24];	/* "" if there is none */
	char what[256];
};

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

#endif
