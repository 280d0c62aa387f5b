// SPDX-License-Identifier: GPL-2.0-only
#include <linux/types.h>
#include <linux/bpf.h>
#include <linux/seccomp.h>
#include <bpf/bpf_helpers.h>

/* Global: verified on its own, and what an extension program could replace. */
__attribute__((noinline)) int decide(struct seccomp_data *ctx)
{
	return ctx->args[0] == 7 ? SECCOMP_RET_ERRNO | 33 : SECCOMP_RET_ALLOW;
}

const volatile int getppid_nr = -1;

SEC("seccomp")
int filter(struct seccomp_data *ctx)
{
	if (ctx->nr != getppid_nr)
		return SECCOMP_RET_ALLOW;

	return decide(ctx);
}

char _license[] SEC("license") = "GPL";
