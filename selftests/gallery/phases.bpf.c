// SPDX-License-Identifier: GPL-2.0-only
/* Two sets of system calls: one while a server starts, one when it serves. */
#include "gallery.h"

const volatile struct {
	__u32 arch;
	__u32 begins_nr;	/* this call begins the second phase, and belongs to both */
	__u32 error;
	__u32 pad;
	struct calls starting, serving;
} config;

struct {
	__u64 serves;
	__u64 refused;
} state;

SEC("seccomp")
int phases(struct seccomp_data *ctx)
{
	__u32 nr = ctx->nr;

	if (is_foreign(ctx, config.arch))
		return SECCOMP_RET_KILL_PROCESS;
	if (nr == config.begins_nr) {
		state.serves = 1;
		return SECCOMP_RET_ALLOW;
	}
	if (has_call(state.serves ? &config.serving : &config.starting, nr))
		return SECCOMP_RET_ALLOW;
	__sync_fetch_and_add(&state.refused, 1);

	return FAIL(config.error);
}

char _license[] SEC("license") = "GPL";
