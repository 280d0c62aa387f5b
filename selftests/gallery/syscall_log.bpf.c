// SPDX-License-Identifier: GPL-2.0-only
/* Tell of system calls by a ring buffer, with their arguments; allow all. */
#include "gallery.h"

struct event {
	__u64 time;
	__u64 pid_tgid;
	__u32 arch;
	__u32 nr;
	__u64 args[6];
};

const volatile struct {
	__u32 all;
	__u32 pad;
	struct calls wanted;
} config;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

/* Of events for which there was no room: the filtered task does not wait. */
__u64 lost;

SEC("seccomp")
int log_syscall(struct seccomp_data *ctx)
{
	struct event *event;
	int i;

	if (!config.all && !has_call(&config.wanted, ctx->nr))
		return SECCOMP_RET_ALLOW;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		__sync_fetch_and_add(&lost, 1);
		return SECCOMP_RET_ALLOW;
	}
	event->time = bpf_ktime_get_ns();
	event->pid_tgid = bpf_get_current_pid_tgid();
	event->arch = ctx->arch;
	event->nr = ctx->nr;
#pragma unroll
	for (i = 0; i < 6; i++)
		event->args[i] = ctx->args[i];
	bpf_ringbuf_submit(event, 0);

	return SECCOMP_RET_ALLOW;
}

char _license[] SEC("license") = "GPL";
