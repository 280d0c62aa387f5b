// SPDX-License-Identifier: GPL-2.0-only
/* So many executions for all tasks under the filter, then none. */
#include "gallery.h"

const volatile struct {
	__u32 arch;
	__u32 execve_nr;
	__u32 execveat_nr;
	__u32 budget;
	__u32 error;
} config;

struct {
	__u64 executions;
	__u64 refused;
} counters;

SEC("seccomp")
int exec_once(struct seccomp_data *ctx)
{
	__u32 nr = ctx->nr;

	if (is_foreign(ctx, config.arch))
		return SECCOMP_RET_KILL_PROCESS;
	if (nr != config.execve_nr && nr != config.execveat_nr)
		return SECCOMP_RET_ALLOW;
	/* Two threads that execute at once get two numbers. */
	if (__sync_fetch_and_add(&counters.executions, 1) < config.budget)
		return SECCOMP_RET_ALLOW;
	__sync_fetch_and_add(&counters.refused, 1);

	return FAIL(config.error);
}

char _license[] SEC("license") = "GPL";
