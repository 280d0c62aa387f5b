// SPDX-License-Identifier: GPL-2.0-only
/*
 * A counter per process. The watched system call says in its first argument
 * what to do with it, and the counter comes back as the call's errno.
 */
#include <linux/bpf.h>
#include <linux/seccomp.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#define COUNT	1 /* the process's counter goes up by one */
#define LOOK	2 /* ... is looked at */
#define FORGET	3 /* ... is deleted */

#define NOTHING 4000 /* no storage; errno values end at 4095 */

const volatile __u32 watched_nr;

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} counters SEC(".maps");

static __always_inline int answer(__u64 *counter)
{
	if (!counter)
		return SECCOMP_RET_ERRNO | NOTHING;

	return SECCOMP_RET_ERRNO | (*counter & 0xff);
}

static __always_inline int count(void)
{
	__u64 *counter;

	counter = bpf_task_storage_get(&counters, 0, 0,
				       BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (counter)
		__sync_fetch_and_add(counter, 1);

	return answer(counter);
}

SEC("seccomp")
int count_per_process(struct seccomp_data *ctx)
{
	if ((__u32)ctx->nr != watched_nr)
		return SECCOMP_RET_ALLOW;

	switch (ctx->args[0]) {
	case COUNT:
		return count();
	case LOOK:
		return answer(bpf_task_storage_get(&counters, 0, 0, 0));
	case FORGET:
		return SECCOMP_RET_ERRNO |
		       (-bpf_task_storage_delete(&counters, 0) & 0xff);
	}

	return SECCOMP_RET_ALLOW;
}

char _license[] SEC("license") = "GPL";
