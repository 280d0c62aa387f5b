// SPDX-License-Identifier: GPL-2.0-only
#include <linux/types.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

__u64 entered, left;

/* The target, a filter and its function, is set before loading. */
SEC("fentry")
int BPF_PROG(on_entry)
{
	__sync_fetch_and_add(&entered, 1);
	return 0;
}

SEC("fexit")
int BPF_PROG(on_exit)
{
	__sync_fetch_and_add(&left, 1);
	return 0;
}

SEC("?fmod_ret")
int BPF_PROG(instead)
{
	return 0;
}

char _license[] SEC("license") = "GPL";
