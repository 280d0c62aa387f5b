// SPDX-License-Identifier: GPL-2.0-only
/* So many of some system calls for each process and interval; more are refused. */
#include "gallery.h"

struct window {
	__u64 begins;
	__u64 calls;
};

const volatile struct {
	__u64 interval;	/* ns */
	__u64 limit;
	__u32 error;
	__u32 arch;
	struct calls limited;
} config;

/* Of the process: NULL stands for the leader of the current task's group. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct window);
} windows SEC(".maps");

__u64 refused;

SEC("seccomp")
int rate_limit(struct seccomp_data *ctx)
{
	struct window *window;
	__u64 now, begins;

	if (is_foreign(ctx, config.arch))
		return SECCOMP_RET_KILL_PROCESS;
	if (!has_call(&config.limited, ctx->nr))
		return SECCOMP_RET_ALLOW;
	window = bpf_task_storage_get(&windows, 0, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!window)
		goto refuse;
	now = bpf_ktime_get_ns();
	begins = window->begins;
	/* Of threads that find the window over, one begins the next. */
	if (now - begins >= config.interval &&
	    __sync_val_compare_and_swap(&window->begins, begins, now) == begins)
		window->calls = 0;
	if (__sync_fetch_and_add(&window->calls, 1) < config.limit)
		return SECCOMP_RET_ALLOW;
refuse:
	__sync_fetch_and_add(&refused, 1);

	return FAIL(config.error);
}

char _license[] SEC("license") = "GPL";
