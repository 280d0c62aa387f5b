// SPDX-License-Identifier: GPL-2.0-only
/*
 * churn OPERATION ROUNDS: load, install or fail so many times. The exit code is 0
 * if each round went as it has to; otherwise a line says which did not, and how.
 *
 * A task's filters add up to a limit, so every hundred rounds have a child of
 * their own, and the references of what it installed go with it.
 */
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "fuzz/kernel.h"

#define CHUNK		100
#define UNKNOWN_FLAG	(1U << 9)
#define DENY		(RET_ERRNO | EDOM)

/* CAP_PERFMON, CAP_BPF: headers may be older. */
#define MAY_LOAD	(1ULL << 38 | 1ULL << 39 | 1ULL << CAP_SYS_PTRACE)

static void expect(const char *what, int result, int wanted)
{
	int code = result < 0 ? errno : 0;

	if (code == wanted)
		return;
	printf("%s: %s instead of %s\n", what, strerror(code), strerror(wanted));
	exit(1);
}

static int new_map(void)
{
	struct map_attr attr = {
		.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8, .max_entries = 1,
	};

	return bpf(BPF_MAP_CREATE, &attr, sizeof(attr));
}

static int load(const struct bpf_insn *insns, u32 count)
{
	struct load_attr attr = {
		.prog_type = PROG_TYPE_SECCOMP,
		.insn_cnt = count,
		.insns = (u64)(uintptr_t)insns,
		.license = (u64)(uintptr_t)"GPL",
		.prog_name = "churn",
	};

	return bpf(BPF_PROG_LOAD, &attr, sizeof(attr));
}

/* Look at the map's value, at ``offset``; deny getppid(). */
static int load_stateful(int map, s16 offset)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 2, .src_reg = 1 },
		{ .code = BPF_JMP32 | BPF_JNE | BPF_K, .dst_reg = 2, .off = 5, .imm = SYS_getppid },
		{ .code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = 1, .src_reg = PSEUDO_MAP_VALUE,
		  .imm = map },
		{ 0 },
		{ .code = BPF_LDX | BPF_MEM | BPF_DW, .dst_reg = 1, .src_reg = 1, .off = offset },
		{ .code = BPF_ALU | BPF_MOV | BPF_K, .imm = DENY },
		{ .code = BPF_JMP | BPF_EXIT },
		{ .code = BPF_ALU | BPF_MOV | BPF_K, .imm = RET_ALLOW },
		{ .code = BPF_JMP | BPF_EXIT },
	};

	return load(insns, ARRAY_SIZE(insns));
}

static int load_pure(void)
{
	static const struct bpf_insn insns[] = {
		{ .code = BPF_ALU | BPF_MOV | BPF_K, .imm = RET_ALLOW },
		{ .code = BPF_JMP | BPF_EXIT },
	};

	return load(insns, ARRAY_SIZE(insns));
}

static int install(int prog, u32 flags)
{
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, FLAG_EXTENDED | flags, &prog);
}

/* Load, and close. */
static void loaded(void)
{
	int map = new_map(), prog = load_stateful(map, 0);

	expect("load", prog, 0);
	close(prog);
	close(map);
}

/* A load that the verifier refuses late, when it has taken the map. */
static void refused(void)
{
	int map = new_map();

	expect("load", load_stateful(map, 8), EACCES);
	close(map);
}

/* Load, install, close. */
static void installed(void)
{
	int map = new_map(), prog = load_stateful(map, 0);

	expect("load", prog, 0);
	close(map);
	expect("install", install(prog, 0), 0);
	close(prog);
}

/* Installations that fail: a flag that does not exist, a second listener. */
static void failed(void)
{
	int prog = load_pure();

	expect("load", prog, 0);
	expect("install with an unknown flag", install(prog, UNKNOWN_FLAG), EINVAL);
	expect("install a second listener",
	       install(prog, SECCOMP_FILTER_FLAG_NEW_LISTENER), EBUSY);
	close(prog);
}

/* An installation that fails for want of no_new_privs, after the program was taken. */
static void without_privilege(void)
{
	int prog = load_pure();

	expect("load", prog, 0);
	expect("install", install(prog, 0), EACCES);
	close(prog);
}

static void no_new_privs(void)
{
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static void with_listener(void)
{
	no_new_privs();
	expect("install a listener", install(load_pure(), SECCOMP_FILTER_FLAG_NEW_LISTENER), 0);
}

static void drop_privilege(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = {
		{ (u32)MAY_LOAD, (u32)MAY_LOAD, 0 },
		{ MAY_LOAD >> 32, MAY_LOAD >> 32, 0 },
	};

	expect("capset", syscall(SYS_capset, &header, data), 0);
}

static const struct {
	const char *name;
	void (*prepare)(void);
	void (*round)(void);
} operations[] = {
	{ "loaded", no_new_privs, loaded },
	{ "refused", no_new_privs, refused },
	{ "installed", no_new_privs, installed },
	{ "failed", with_listener, failed },
	{ "without_privilege", drop_privilege, without_privilege },
};

static void chunk(u32 which, long rounds)
{
	operations[which].prepare();
	while (rounds--)
		operations[which].round();
	exit(0);
}

int main(int argc, char **argv)
{
	for (u32 i = 0; argc == 3 && i < ARRAY_SIZE(operations); i++) {
		if (strcmp(argv[1], operations[i].name))
			continue;
		for (long left = atol(argv[2]); left > 0; left -= CHUNK) {
			int status = 0;

			if (!fork())
				chunk(i, left < CHUNK ? left : CHUNK);
			if (wait(&status) < 0 || status)
				return 1;
		}
		return 0;
	}
	fprintf(stderr, "usage: churn OPERATION ROUNDS\n");
	return 2;
}
