// SPDX-License-Identifier: GPL-2.0-only
/* An LSM of our own that denies seccomp filters their state, to one process. */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

/* One variable, so that the test knows where in the map everything is. */
volatile struct {
	__u32 tgid;	 /* to whom */
	__u32 alternate; /* deny the first, third, ... time only */
	__u64 asked;	 /* how often that process has been asked about */
} state;

SEC("lsm/seccomp_extended")
int deny_state(void *ctx)
{
	if (bpf_get_current_pid_tgid() >> 32 != state.tgid)
		return 0;

	state.asked += 1;
	if (state.alternate && state.asked % 2 == 0)
		return 0;

	return -1; /* EPERM */
}

char _license[] SEC("license") = "GPL";
