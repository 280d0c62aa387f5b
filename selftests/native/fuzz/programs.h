/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whole programs, of whatever kind, with their surroundings, and what is done to
 * them: bits that flip, and bytes without any sense.
 */
#ifndef FUZZ_PROGRAMS_H
#define FUZZ_PROGRAMS_H

#include "classic.h"
#include "generate.h"
#include "translate.h"

/*
 * The only flag that is left out is BPF_F_TEST_REG_INVARIANTS (1 << 7): with it
 * EFAULT is an answer to expect.
 */
static void spoil_request(struct rng *rng, struct fuzz_case *c)
{
	static const u32 prog_flags[] = { 1, 2, 3, 4, 8, 16, 32, 64, 1U << 9, 1U << 20, 1U << 16 };

	switch (below(rng, 4)) {
	case 0:
	case 1:
		c->prog_flags = PICK(rng, prog_flags);
		break;
	case 2:
		c->gpl = false;
		break;
	default:
		c->attach_type = 1 + below(rng, 60);
	}
}

static void mutate(struct rng *rng, struct fuzz_case *c)
{
	u32 times = 1 + below(rng, percent(rng, 70) ? 2 : 8);

	while (times--) {
		u32 i = below(rng, c->n_insns), j = below(rng, c->n_insns);
		u8 *byte = (u8 *)&c->insns[i] + below(rng, 8);
		struct bpf_insn swapped;

		switch (below(rng, 6)) {
		case 0:
		case 1:
			*byte ^= 1U << below(rng, 8);
			break;
		case 2:
			*byte = rng_next(rng);
			break;
		case 3:
			swapped = c->insns[i];
			c->insns[i] = c->insns[j];
			c->insns[j] = swapped;
			break;
		case 4:
			c->insns[i] = c->insns[j];
			break;
		default:
			if (c->n_insns > 2) {
				memmove(&c->insns[i], &c->insns[i + 1],
					(c->n_insns - i - 1) * sizeof(c->insns[0]));
				c->n_insns--;
			}
		}
	}
}

static void generate_raw(struct rng *rng, struct fuzz_case *c)
{
	static const u8 codes[] = {
		0xb7, 0xbf, 0x07, 0x0f, 0x61, 0x79, 0x63, 0x7b, 0x62, 0x15, 0x85, 0x95, 0xb4,
		0x04, 0xbc,
	};
	u32 count = 1 + below(rng, 16);

	while (count--) {
		u64 bits = rng_next(rng);

		put(c, 0, 0, 0, 0, 0);
		memcpy(&c->insns[c->n_insns - 1], &bits, 8);
		if (percent(rng, 90))
			c->insns[c->n_insns - 1].code = PICK(rng, codes);
		if (percent(rng, 85)) {
			c->insns[c->n_insns - 1].dst_reg = below(rng, 11);
			c->insns[c->n_insns - 1].src_reg = below(rng, 11);
			c->insns[c->n_insns - 1].off = (s16)below(rng, 4);
			c->insns[c->n_insns - 1].imm = below(rng, 300);
		}
	}
	put_mov(c, R0, 0);
	put_exit(c);
}

static void generate_environment(struct rng *rng, struct fuzz_case *c)
{
	static const u32 filter_flags[] = {
		0, 0, 0, SECCOMP_FILTER_FLAG_LOG, SECCOMP_FILTER_FLAG_SPEC_ALLOW,
		SECCOMP_FILTER_FLAG_TSYNC, SECCOMP_FILTER_FLAG_NEW_LISTENER,
		SECCOMP_FILTER_FLAG_NEW_LISTENER | FLAG_WAIT_KILLABLE,
		SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH | SECCOMP_FILTER_FLAG_NEW_LISTENER,
	};

	c->no_new_privs = !percent(rng, 5);
	c->drops = percent(rng, 15);
	c->filter_flags = PICK(rng, filter_flags);
	if (percent(rng, 30))
		c->beneath = 1 + below(rng, COMPANIONS - 1);
	if (percent(rng, 20))
		c->above = 1 + below(rng, COMPANIONS - 1);
	/* A task has one listener at most. */
	if (c->filter_flags & SECCOMP_FILTER_FLAG_NEW_LISTENER || c->beneath == NOTIFIER) {
		c->filter_flags &= ~(c->beneath == NOTIFIER ? SECCOMP_FILTER_FLAG_NEW_LISTENER |
				     SECCOMP_FILTER_FLAG_TSYNC_ESRCH | FLAG_WAIT_KILLABLE : 0);
		if (c->above == NOTIFIER)
			c->above = CLASSIC_ALLOW;
	}
}

/* Blocks of programs share what the whole system has one of: two sysctls. */
#define BLOCK	128

/* kernel.unprivileged_bpf_disabled: 2 can be changed again, 1 could not. */
static u32 disabled_of(u64 seed, u64 index)
{
	struct rng rng = rng_for(seed ^ 0xd15ab, index / BLOCK);

	return below(&rng, 5) ? 0 : 2;
}

static int scope_of(u64 seed, u64 index)
{
	struct rng rng = rng_for(seed ^ 0xb10c, index / BLOCK);

	switch (below(&rng, 8)) {
	case 0:
		return SCOPE_FLIP;
	case 1:
	case 2:
		return SCOPE_DENY;
	default:
		return SCOPE_OPEN;
	}
}

/* The program of an index: the same for the same seed, whenever and wherever. */
static void generate(struct fuzz_case *c, u64 seed, u64 index)
{
	static const enum loader loaders[] = {
		USER, USER, BPF_ONLY, BPF_ONLY, PERFMON, PTRACE, ROOT, USERNS, TOKEN, TOKEN,
		TOKEN_BARE, TOKEN_OTHER,
	};
	/* Strict alignment, random upper halves, more states: no answer changes. */
	static const u32 harmless[] = { 1, 4, 8, 1 | 4 };
	struct rng rng = rng_for(seed, index);
	struct pool pool = pool_for(&rng);
	u32 way = below(&rng, 100);

	memset(c, 0, offsetof(struct fuzz_case, insns));
	c->loader = PICK(&rng, loaders);
	c->scope = scope_of(seed, index);
	c->disabled = disabled_of(seed, index);
	c->gpl = true;
	c->style = rng_next(&rng);
	c->kind = way < 30 ? DIFFERENTIAL : way < 76 ? OPEN : way < 92 ? MUTATED : RAW;
	generate_environment(&rng, c);
	generate_calls(&rng, c, &pool);
	if ((c->kind == OPEN || c->kind == MUTATED) && percent(&rng, 8))
		c->fd_array_cnt = 1 + below(&rng, MAPS);
	if (c->kind == RAW) {
		generate_raw(&rng, c);
	} else if (c->kind == DIFFERENTIAL || (c->kind == MUTATED && percent(&rng, 30))) {
		generate_classic(&rng, c, &pool);
		translate(c);
	} else {
		generate_open(&rng, c, &pool, percent(&rng, 50) ? 0 : 1 + below(&rng, 2));
	}
	if (c->kind == MUTATED) {
		c->n_classic = 0;
		mutate(&rng, c);
	}
	if (c->kind == DIFFERENTIAL && percent(&rng, 25))
		c->prog_flags = PICK(&rng, harmless);
	else if (c->kind != DIFFERENTIAL && percent(&rng, 6))
		spoil_request(&rng, c);
}

#endif
