/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the fuzzer takes from the kernel's user API. Numbers are given here where
 * the headers of a build machine may be older than the kernel under test.
 */
#ifndef FUZZ_KERNEL_H
#define FUZZ_KERNEL_H

#include <errno.h>
#include <linux/audit.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#define PROG_TYPE_SECCOMP	33		/* the series */
#define FLAG_EXTENDED		(1U << 6)	/* the series */
#define FLAG_WAIT_KILLABLE	(1U << 5)

#define RET_KILL_PROCESS	0x80000000U
#define RET_KILL_THREAD		0x00000000U
#define RET_TRAP		0x00030000U
#define RET_ERRNO		0x00050000U
#define RET_USER_NOTIF		0x7fc00000U
#define RET_TRACE		0x7ff00000U
#define RET_LOG			0x7ffc0000U
#define RET_ALLOW		0x7fff0000U

#define DATA_SIZE		64		/* struct seccomp_data */

/* A summary of the run, and nothing for each instruction: BPF_LOG_STATS. */
#define LOG_STATS		4

#define TOKEN_CREATE		36		/* the command BPF_TOKEN_CREATE */
#define FLAG_TOKEN_FD		(1U << 16)	/* BPF_F_TOKEN_FD */

#define PSEUDO_MAP_FD		1
#define PSEUDO_MAP_VALUE	2
#define PSEUDO_BTF_ID		3
#define PSEUDO_FUNC		4
#define PSEUDO_MAP_IDX		5
#define PSEUDO_CALL		1
#define PSEUDO_KFUNC_CALL	2

/* The struct of BPF_PROG_LOAD in union bpf_attr, as of 7.3. */
struct load_attr {
	u32 prog_type;
	u32 insn_cnt;
	u64 insns;
	u64 license;
	u32 log_level;
	u32 log_size;
	u64 log_buf;
	u32 kern_version;
	u32 prog_flags;
	char prog_name[16];
	u32 prog_ifindex;
	u32 expected_attach_type;
	u32 prog_btf_fd;
	u32 func_info_rec_size;
	u64 func_info;
	u32 func_info_cnt;
	u32 line_info_rec_size;
	u64 line_info;
	u32 line_info_cnt;
	u32 attach_btf_id;
	u32 attach_prog_fd;
	u32 core_relo_cnt;
	u64 fd_array;
	u64 core_relos;
	u32 core_relo_rec_size;
	u32 log_true_size;
	u32 prog_token_fd;
	u32 fd_array_cnt;
};

/* The struct of BPF_MAP_CREATE. */
struct map_attr {
	u32 map_type;
	u32 key_size;
	u32 value_size;
	u32 max_entries;
	u32 map_flags;
	u32 inner_map_fd;
	u32 numa_node;
	char map_name[16];
	u32 map_ifindex;
	u32 btf_fd;
	u32 btf_key_type_id;
	u32 btf_value_type_id;
	u32 btf_vmlinux_value_type_id;
	u64 map_extra;
	s32 value_type_btf_obj_fd;
	s32 map_token_fd;
};

static inline int bpf(int command, void *attr, u32 size)
{
	return syscall(SYS_bpf, command, attr, size);
}

#endif
