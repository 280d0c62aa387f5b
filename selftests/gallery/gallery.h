/* SPDX-License-Identifier: GPL-2.0-only */
/* What the gallery's filters share. */
#ifndef GALLERY_H
#define GALLERY_H

#include <linux/types.h>
#include <linux/bpf.h>
#include <linux/seccomp.h>
#include <bpf/bpf_helpers.h>

#define PATH_SIZE 256

/* Numbers of the system calls that a filter looks at, set before the load. */
#define NO_CALL 0xffffffff

#define FAIL(error) (SECCOMP_RET_ERRNO | ((error) & SECCOMP_RET_DATA))

/* A set of system call numbers. What is outside of the table is not in it. */
#define CALLS_MAX 512

struct calls {
	__u64 bits[CALLS_MAX / 64];
};

static __always_inline int has_call(const volatile struct calls *calls, __u32 nr)
{
	return nr < CALLS_MAX && calls->bits[nr / 64] >> (nr % 64) & 1;
}

/*
 * The filtered task's architecture is the caller's choice: on x86-64 a 32-bit
 * call has other numbers for the same things. A filter that knows the numbers
 * of one architecture refuses the others.
 */
static __always_inline int is_foreign(const struct seccomp_data *ctx, __u32 arch)
{
	return ctx->arch != arch || (__u32)ctx->nr & 0x40000000;
}

#endif
