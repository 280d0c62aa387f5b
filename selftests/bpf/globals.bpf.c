// SPDX-License-Identifier: GPL-2.0-only
/* Global variables of all three kinds: constant, initialized, zero. */
#include <linux/bpf.h>
#include <linux/seccomp.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

const volatile __u32 watched_nr;	/* .rodata, set before the load */
volatile __u64 budget = 3;		/* .data */
volatile __u64 seen;			/* .bss */

/* Let the watched system call through as long as the budget lasts. */
SEC("seccomp")
int spend_budget(struct seccomp_data *ctx)
{
	if ((__u32)ctx->nr != watched_nr)
		return SECCOMP_RET_ALLOW;

	seen += 1;
	if (!budget)
		return SECCOMP_RET_ERRNO | 122; /* EDQUOT */
	budget -= 1;

	return SECCOMP_RET_ALLOW;
}

char _license[] SEC("license") = "GPL";
