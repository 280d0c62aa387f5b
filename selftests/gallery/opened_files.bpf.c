// SPDX-License-Identifier: GPL-2.0-only
/* Tell which files are opened, by whom, by a ring buffer; allow all. */
#include "gallery.h"

enum { OPEN, CREAT, OPENAT, OPENAT2, CALLS };

struct event {
	__u64 time;
	__u64 pid_tgid;
	__u64 uid_gid;
	__u32 call;	/* an index of config.nr */
	__s32 dirfd;
	__u64 flags;	/* of openat2(), its struct open_how's */
	__s64 length;	/* of the path with its NUL, or why it was not read */
	char path[PATH_SIZE];
};

const volatile struct {
	__u32 arch;
	__u32 nr[CALLS];
} config;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

__u64 lost;

static __always_inline __u32 which(const struct seccomp_data *ctx)
{
	__u32 nr = ctx->nr;

	if (ctx->arch != config.arch)
		return CALLS;
	if (nr == config.nr[OPENAT])
		return OPENAT;
	if (nr == config.nr[OPENAT2])
		return OPENAT2;
	if (nr == config.nr[OPEN])
		return OPEN;
	if (nr == config.nr[CREAT])
		return CREAT;

	return CALLS;
}

static __always_inline void describe(struct event *event, const struct seccomp_data *ctx)
{
	const void *path = (const void *)ctx->args[0];

	event->dirfd = -100; /* AT_FDCWD */
	event->flags = 0;
	switch (event->call) {
	case OPEN:
		event->flags = (__u32)ctx->args[1];
		break;
	case OPENAT:
		event->dirfd = ctx->args[0];
		event->flags = (__u32)ctx->args[2];
		path = (const void *)ctx->args[1];
		break;
	case OPENAT2:
		event->dirfd = ctx->args[0];
		path = (const void *)ctx->args[1];
		bpf_probe_read_user(&event->flags, sizeof(event->flags),
				    (const void *)ctx->args[2]);
		break;
	}
	event->length = bpf_probe_read_user_str(event->path, sizeof(event->path), path);
}

SEC("seccomp")
int log_opened(struct seccomp_data *ctx)
{
	__u32 call = which(ctx);
	struct event *event;

	if (call == CALLS)
		return SECCOMP_RET_ALLOW;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		__sync_fetch_and_add(&lost, 1);
		return SECCOMP_RET_ALLOW;
	}
	event->time = bpf_ktime_get_ns();
	event->pid_tgid = bpf_get_current_pid_tgid();
	event->uid_gid = bpf_get_current_uid_gid();
	event->call = call;
	describe(event, ctx);
	bpf_ringbuf_submit(event, 0);

	return SECCOMP_RET_ALLOW;
}

char _license[] SEC("license") = "GPL";
