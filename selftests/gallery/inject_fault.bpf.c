// SPDX-License-Identifier: GPL-2.0-only
/* Have a system call fail: the Nth time, now and then, or on one path only. */
#include "gallery.h"

const volatile struct {
	__u32 arch;
	__u32 nr;
	__u32 error;
	__u32 nth;		/* 1 is the first; 0 for each */
	__u32 probability;	/* in 1/2^32, 0 for always */
	__u32 path_arg;		/* which argument is the path */
	char path[PATH_SIZE];	/* "" for any */
} config;

/* Calls that the path lets through, and calls that failed. */
struct {
	__u64 seen;
	__u64 injected;
} counters;

static __always_inline int is_on_path(const struct seccomp_data *ctx)
{
	/* Both are read: older kernels (6.12) know no pointer to the one or the other. */
	const volatile struct seccomp_data *data = ctx;
	__u64 first = data->args[0], second = data->args[1];
	char path[PATH_SIZE];

	if (!config.path[0])
		return 1;
	if (bpf_probe_read_user_str(path, sizeof(path),
				    (const void *)(config.path_arg ? second : first)) < 0)
		return 0;

	return !bpf_strncmp(path, sizeof(path), (const char *)config.path);
}

SEC("seccomp")
int inject_fault(struct seccomp_data *ctx)
{
	__u64 number;

	if (ctx->arch != config.arch || (__u32)ctx->nr != config.nr || !is_on_path(ctx))
		return SECCOMP_RET_ALLOW;
	number = __sync_fetch_and_add(&counters.seen, 1) + 1;
	if (config.nth && number != config.nth)
		return SECCOMP_RET_ALLOW;
	if (config.probability && bpf_get_prandom_u32() >= config.probability)
		return SECCOMP_RET_ALLOW;
	__sync_fetch_and_add(&counters.injected, 1);

	return FAIL(config.error);
}

char _license[] SEC("license") = "GPL";
