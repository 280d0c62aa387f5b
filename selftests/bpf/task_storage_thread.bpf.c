// SPDX-License-Identifier: GPL-2.0-only
/* The process's counter and the thread's own, which takes CAP_PERFMON to name. */
#include <linux/bpf.h>
#include <linux/seccomp.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#define COUNT		1 /* the process's counter goes up by one */
#define LOOK		2 /* ... is looked at */
#define COUNT_SELF	4 /* the calling thread's counter goes up by one */
#define LOOK_SELF	5 /* ... is looked at */

#define NOTHING 4000 /* no storage; errno values end at 4095 */

const volatile __u32 watched_nr;

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} counters SEC(".maps");

static __always_inline int answer(__u64 *counter, __u64 add)
{
	if (!counter)
		return SECCOMP_RET_ERRNO | NOTHING;
	*counter += add;

	return SECCOMP_RET_ERRNO | (*counter & 0xff);
}

SEC("seccomp")
int count_per_thread(struct seccomp_data *ctx)
{
	if ((__u32)ctx->nr != watched_nr)
		return SECCOMP_RET_ALLOW;

	switch (ctx->args[0]) {
	case COUNT:
		return answer(bpf_task_storage_get(&counters, 0, 0,
						   BPF_LOCAL_STORAGE_GET_F_CREATE), 1);
	case LOOK:
		return answer(bpf_task_storage_get(&counters, 0, 0, 0), 0);
	case COUNT_SELF:
		return answer(bpf_task_storage_get(&counters,
						   bpf_get_current_task_btf(), 0,
						   BPF_LOCAL_STORAGE_GET_F_CREATE), 1);
	case LOOK_SELF:
		return answer(bpf_task_storage_get(&counters,
						   bpf_get_current_task_btf(), 0, 0), 0);
	}

	return SECCOMP_RET_ALLOW;
}

char _license[] SEC("license") = "GPL";
