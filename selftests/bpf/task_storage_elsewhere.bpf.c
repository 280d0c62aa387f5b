// SPDX-License-Identifier: GPL-2.0-only
/* What NULL for the task gives programs that are not seccomp filters. */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} storage SEC(".maps");

#define AS_EVER 77
#define GOT_STORAGE 1000

/* AS_EVER for the answers of old: no storage, and EINVAL for a delete */
static __always_inline int try_null(void)
{
	if (bpf_task_storage_get(&storage, 0, 0, BPF_LOCAL_STORAGE_GET_F_CREATE))
		return GOT_STORAGE;

	return bpf_task_storage_delete(&storage, 0) + 22 + AS_EVER;
}

/* Run by BPF_PROG_TEST_RUN: the result is its return value. */
SEC("raw_tp")
int null_in_raw_tp(void *ctx)
{
	return try_null();
}

SEC("syscall")
int null_in_syscall(void *ctx)
{
	return try_null();
}

/*
 * Run by the hook, so the result has to be left somewhere. Loaded on demand
 * only: a kernel without CONFIG_SECURITY has no such hook.
 */
volatile __s64 lsm_result = -1;
volatile __u32 lsm_tgid;

SEC("?lsm/task_setnice")
int null_in_lsm(void *ctx)
{
	if (bpf_get_current_pid_tgid() >> 32 == lsm_tgid)
		lsm_result = try_null();

	return 0;
}

char _license[] SEC("license") = "GPL";
