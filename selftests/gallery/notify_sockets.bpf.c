// SPDX-License-Identifier: GPL-2.0-only
/* Ask the supervisor about sockets of some families, refuse or allow the others. */
#include "gallery.h"

#define FAMILIES 64

const volatile struct {
	__u32 arch;
	__u32 socket_nr;
	__u64 allowed;	/* a bit for each family below FAMILIES */
	__u64 asked;
} config;

/* Answers that cost the supervisor nothing, those that it is asked for, and
 * those of the first that were no. */
struct {
	__u64 answered;
	__u64 notified;
	__u64 refused;
} counters;

SEC("seccomp")
int notify_sockets(struct seccomp_data *ctx)
{
	__u64 family;

	if (is_foreign(ctx, config.arch))
		return SECCOMP_RET_KILL_PROCESS;
	if ((__u32)ctx->nr != config.socket_nr)
		return SECCOMP_RET_ALLOW;
	/* The kernel takes an int. */
	family = (__u32)ctx->args[0];
	if (family < FAMILIES && config.asked >> family & 1) {
		__sync_fetch_and_add(&counters.notified, 1);
		return SECCOMP_RET_USER_NOTIF;
	}
	__sync_fetch_and_add(&counters.answered, 1);
	if (family < FAMILIES && config.allowed >> family & 1)
		return SECCOMP_RET_ALLOW;
	__sync_fetch_and_add(&counters.refused, 1);

	return FAIL(97); /* EAFNOSUPPORT */
}

char _license[] SEC("license") = "GPL";
