// SPDX-License-Identifier: GPL-2.0-only
/* What tier 1 offers: the context, arithmetic, bounded loops, functions. */
#include <linux/bpf.h>
#include <linux/seccomp.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

/* The verifier looks at a global function by itself, at a static one in place. */
__noinline int count_bits(__u64 value)
{
	int bits = 0;

	for (int i = 0; i < 64; i++)
		bits += value >> i & 1;

	return bits;
}

static __noinline int answer(struct seccomp_data *ctx)
{
	return SECCOMP_RET_ERRNO | count_bits(ctx->args[0]);
}

/* Deny what asks for it: the first argument's bits are the errno. */
SEC("seccomp")
int count_bits_of_argument(struct seccomp_data *ctx)
{
	if (ctx->args[1] != 0x6c6162)
		return SECCOMP_RET_ALLOW;

	return answer(ctx);
}

char _license[] SEC("license") = "GPL";
