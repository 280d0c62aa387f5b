// SPDX-License-Identifier: GPL-2.0-only
/* Refuse a set of system calls, from the first execution on. */
#include "gallery.h"

const volatile struct {
	__u32 arch;
	__u32 execve_nr;
	__u32 execveat_nr;
	__u32 error;
	struct calls refused;
} config;

struct {
	__u64 executed;
	__u64 refused;
} state;

SEC("seccomp")
int after_exec(struct seccomp_data *ctx)
{
	__u32 nr = ctx->nr;

	if (is_foreign(ctx, config.arch))
		return SECCOMP_RET_KILL_PROCESS;
	if (nr == config.execve_nr || nr == config.execveat_nr) {
		/* The first of several that execute at once, and nobody sets it back. */
		if (!__sync_fetch_and_or(&state.executed, 1))
			return SECCOMP_RET_ALLOW;
	}
	if (!state.executed || !has_call(&config.refused, nr))
		return SECCOMP_RET_ALLOW;
	__sync_fetch_and_add(&state.refused, 1);

	return FAIL(config.error);
}

char _license[] SEC("license") = "GPL";
