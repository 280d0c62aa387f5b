// SPDX-License-Identifier: GPL-2.0-only
/* Allow a system call once: per process by storage, per process id, or for all
 * tasks under the filter.
 */
#include <linux/bpf.h>
#include <linux/seccomp.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#define SPENT (SECCOMP_RET_ERRNO | 33)

const volatile __u32 watched_nr;

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} per_process SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} per_id SEC(".maps");

__u64 for_all;

static __always_inline int once(__u64 *spent)
{
	/* One that cannot be counted is not the first. */
	if (!spent || __sync_fetch_and_add(spent, 1))
		return SPENT;

	return SECCOMP_RET_ALLOW;
}

SEC("seccomp")
int once_per_process(struct seccomp_data *ctx)
{
	if ((__u32)ctx->nr != watched_nr)
		return SECCOMP_RET_ALLOW;

	return once(bpf_task_storage_get(&per_process, 0, 0,
					 BPF_LOCAL_STORAGE_GET_F_CREATE));
}

SEC("seccomp")
int once_per_id(struct seccomp_data *ctx)
{
	__u32 id = bpf_get_current_pid_tgid() >> 32;
	__u64 none = 0;

	if ((__u32)ctx->nr != watched_nr)
		return SECCOMP_RET_ALLOW;

	bpf_map_update_elem(&per_id, &id, &none, BPF_NOEXIST);

	return once(bpf_map_lookup_elem(&per_id, &id));
}

SEC("seccomp")
int once_for_all(struct seccomp_data *ctx)
{
	if ((__u32)ctx->nr != watched_nr)
		return SECCOMP_RET_ALLOW;

	return once(&for_all);
}

char _license[] SEC("license") = "GPL";
