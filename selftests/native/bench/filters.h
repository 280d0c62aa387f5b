/* SPDX-License-Identifier: GPL-2.0-only */
/* Filters as they are named on the command line: made, loaded, installed. */
#ifndef BENCH_FILTERS_H
#define BENCH_FILTERS_H

#include <fcntl.h>

#include "common.h"

#define CLASSIC_MAX	4096

struct filter {
	struct sock_fprog classic;	/* filter NULL: eBPF */
	int prog;			/* -1: loaded for each installation */
	u32 length;			/* of a list */
};

/* Numbers that no system call has. */
#define UNUSED_NR(i)	(0x10000 + (i))

static struct sock_fprog classic_list(u32 length)
{
	struct sock_filter *insns = calloc(length, sizeof(*insns));
	u32 i;

	for (i = 1; i + 2 < length; i += 2) {
		insns[i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
							UNUSED_NR(i), 0, 1);
		insns[i + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, RET_KILL_PROCESS);
	}
	insns[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0);
	for (; i < length; i++)
		insns[i] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, RET_ALLOW);
	return (struct sock_fprog){ .len = length, .filter = insns };
}

/* The same in eBPF, where an answer takes two instructions; loaded. */
static int load_list(u32 length, u64 *took)
{
	struct bpf_insn *insns = calloc(length, sizeof(*insns));
	struct load_attr attr = {
		.prog_type = PROG_TYPE_SECCOMP,
		.insn_cnt = length,
		.insns = (u64)(uintptr_t)insns,
		.license = (u64)(uintptr_t)"GPL",
		.prog_name = "bench",
	};
	u64 begun;
	u32 i;
	int prog;

	insns[0] = (struct bpf_insn){ .code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 2, .src_reg = 1 };
	for (i = 1; i + 5 <= length; i += 3) {
		insns[i] = (struct bpf_insn){ .code = BPF_JMP32 | BPF_JNE | BPF_K, .dst_reg = 2,
					      .off = 2, .imm = UNUSED_NR(i) };
		insns[i + 1] = (struct bpf_insn){ .code = BPF_ALU | BPF_MOV | BPF_K,
						  .imm = (s32)RET_KILL_PROCESS };
		insns[i + 2] = (struct bpf_insn){ .code = BPF_JMP | BPF_EXIT };
	}
	for (; i + 1 < length; i++)
		insns[i] = (struct bpf_insn){ .code = BPF_ALU | BPF_MOV | BPF_K, .imm = RET_ALLOW };
	insns[i] = (struct bpf_insn){ .code = BPF_JMP | BPF_EXIT };
	begun = now();
	prog = bpf(BPF_PROG_LOAD, &attr, sizeof(attr));
	*took = now() - begun;
	if (prog < 0)
		die("BPF_PROG_LOAD");
	free(insns);
	return prog;
}

static struct sock_fprog classic_file(const char *path)
{
	struct sock_filter *insns = calloc(CLASSIC_MAX, sizeof(*insns));
	int file = open(path, O_RDONLY);
	ssize_t size;

	if (file < 0)
		die(path);
	size = read(file, insns, CLASSIC_MAX * sizeof(*insns));
	if (size <= 0)
		die(path);
	close(file);
	return (struct sock_fprog){ .len = size / sizeof(*insns), .filter = insns };
}

static struct filter parse(const char *text)
{
	struct filter filter = { .prog = -1 };
	const char *rest = strchr(text, ':');

	if (!rest++) {
		fprintf(stderr, "no filter: %s\n", text);
		exit(2);
	}
	if (!strncmp(text, "classic:", rest - text))
		filter.classic = classic_file(rest);
	else if (!strncmp(text, "classic-list:", rest - text))
		filter.classic = classic_list(atoi(rest));
	else if (!strncmp(text, "ebpf:", rest - text))
		filter.prog = atoi(rest);
	else
		filter.length = atoi(rest);
	return filter;
}

/* A loaded list is not needed for longer than it is installed. */
static int attach(const struct filter *filter, u32 flags, u64 *took)
{
	int prog = filter->prog, result;
	u64 unused, begun;

	if (!filter->classic.filter && prog < 0)
		prog = load_list(filter->length, &unused);
	begun = now();
	if (filter->classic.filter)
		result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter->classic);
	else
		result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, FLAG_EXTENDED | flags,
				 &prog);
	*took = now() - begun;
	if (result < 0)
		die("seccomp");
	if (prog != filter->prog)
		close(prog);
	return result;
}

static int install(const struct filter *filter, u32 flags)
{
	u64 unused;

	no_new_privs();
	return attach(filter, flags, &unused);
}

#endif
