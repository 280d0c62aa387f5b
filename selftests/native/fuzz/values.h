/* SPDX-License-Identifier: GPL-2.0-only */
/* Values and numbers that programs and system calls are made of. */
#ifndef FUZZ_VALUES_H
#define FUZZ_VALUES_H

#include "rng.h"

/* Values that programs compare with and that system calls are made with. */
struct pool {
	u64 values[6];
};

static struct pool pool_for(struct rng *rng)
{
	static const u64 special[] = {
		0, 1, 2, 0xfff, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, ~0ULL,
		0x7fffffffffffffff, 0x8000000000000000, AUDIT_ARCH_X86_64,
	};
	struct pool pool;

	for (u32 i = 0; i < ARRAY_SIZE(pool.values); i++)
		switch (below(rng, 4)) {
		case 0:
			pool.values[i] = PICK(rng, special);
			break;
		case 1:
			pool.values[i] = below(rng, 64);
			break;
		default:
			pool.values[i] = rng_next(rng) >> below(rng, 48);
		}
	return pool;
}

static u64 pooled(struct rng *rng, const struct pool *pool)
{
	u64 value = PICK(rng, pool->values);

	switch (below(rng, 8)) {
	case 0:
		return rng_next(rng);
	case 1:
		return value >> 32;
	case 2:
		return value + below(rng, 3) - 1;
	default:
		return value;
	}
}

/* Harmless system calls: numbers here, made-up ones in random_nr(). */
static const u16 plain_calls[] = {
	SYS_getppid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_sched_yield,
};
/* Their first argument has to be a descriptor that nobody has. */
static const u16 descriptor_calls[] = {
	SYS_close, SYS_dup, SYS_fsync, SYS_lseek, SYS_fchdir, SYS_read, SYS_write,
};

static u32 random_nr(struct rng *rng)
{
	static const u32 nobodys[] = {
		999, 1000, 1024, 4095, 0x7fffffff, 0xffffffff, 0x80000000, 0x40000000 | SYS_getppid,
	};

	switch (below(rng, 5)) {
	case 0:
		return PICK(rng, nobodys);
	case 1:
	case 2:
		return PICK(rng, descriptor_calls);
	default:
		return PICK(rng, plain_calls);
	}
}

static u32 random_verdict(struct rng *rng)
{
	switch (below(rng, 40)) {
	case 0:
		return percent(rng, 50) ? RET_KILL_THREAD : RET_KILL_PROCESS;
	case 1:
		return rng_next(rng); /* any number is an answer; unknown ones kill */
	case 2:
	case 3:
		return RET_USER_NOTIF;
	case 4:
	case 5:
		return RET_TRACE | below(rng, 0x10000);
	case 6:
		return RET_LOG | below(rng, 0x10000);
	case 7:
	case 8:
	case 9:
		return RET_TRAP | below(rng, 0x10000);
	case 10 ... 24:
		return RET_ALLOW;
	default:
		return RET_ERRNO | below(rng, 5000); /* more than MAX_ERRNO too */
	}
}

#endif
