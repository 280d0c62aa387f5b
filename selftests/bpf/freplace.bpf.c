// SPDX-License-Identifier: GPL-2.0-only
#include <linux/types.h>
#include <linux/bpf.h>
#include <linux/seccomp.h>
#include <bpf/bpf_helpers.h>

SEC("freplace/decide")
int replacement(struct seccomp_data *ctx)
{
	return SECCOMP_RET_ALLOW;
}

char _license[] SEC("license") = "GPL";
