// SPDX-License-Identifier: GPL-2.0-only
/* Deny opening one path, by what the filter reads from the caller's memory. */
#include <linux/bpf.h>
#include <linux/seccomp.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#define PATH_SIZE 64

struct report {
	__s64 ret; /* of the last read: length with its NUL, or -errno */
	char path[PATH_SIZE];
};

/* Set before the load. */
const volatile struct {
	__u32 openat_nr;
	__u32 answer; /* for paths that are not forbidden */
	char forbidden[PATH_SIZE];
} config;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct report);
} reports SEC(".maps");

SEC("seccomp")
int guard_path(struct seccomp_data *ctx)
{
	struct report *report;
	__u32 key = 0;

	if ((__u32)ctx->nr != config.openat_nr)
		return SECCOMP_RET_ALLOW;

	report = bpf_map_lookup_elem(&reports, &key);
	if (!report)
		return SECCOMP_RET_KILL_PROCESS;

	report->ret = bpf_probe_read_user_str(report->path, sizeof(report->path),
					      (const void *)ctx->args[1]);
	if (report->ret < 0)
		return SECCOMP_RET_ERRNO | 126; /* ENOKEY: could not look */
	if (!bpf_strncmp(report->path, sizeof(report->path),
			 (const char *)config.forbidden))
		return SECCOMP_RET_ERRNO | 1; /* EPERM */

	return config.answer;
}

char _license[] SEC("license") = "GPL";
