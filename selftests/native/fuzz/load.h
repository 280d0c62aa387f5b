/* SPDX-License-Identifier: GPL-2.0-only */
/* Loading a case, with an end to it. */
#ifndef FUZZ_LOAD_H
#define FUZZ_LOAD_H

#include "insn.h"
#include "install.h"
#include "maps.h"

#define LOG_SIZE	(1 << 17)

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

#endif
