/* SPDX-License-Identifier: GPL-2.0-only */
/* Which system calls are made under a filter: harmless whatever it answers. */
#ifndef FUZZ_CALLS_H
#define FUZZ_CALLS_H

#include "case.h"
#include "values.h"

static bool in_table(u32 nr, const u16 *table, u32 count)
{
	for (u32 i = 0; i < count; i++)
		if (nr == table[i])
			return true;
	return false;
}

/*
 * A number that a program compares with, if that is safe to call: what is not
 * one of the harmless ones has to be far above every real one.
 */
static u32 safe_nr(struct rng *rng, const struct pool *pool)
{
	u32 nr = pooled(rng, pool);

	if (percent(rng, 25) && nr > 2000)
		return nr;
	return random_nr(rng);
}

static void generate_calls(struct rng *rng, struct fuzz_case *c, const struct pool *pool)
{
	u32 count = 4 + below(rng, MAX_CALLS - 4);

	for (u32 i = 0; i < count; i++) {
		struct call *call = &c->calls[c->n_calls++];

		call->nr = safe_nr(rng, pool);
		for (int a = 0; a < 6; a++)
			call->args[a] = pooled(rng, pool);
		if (in_table(call->nr, descriptor_calls, ARRAY_SIZE(descriptor_calls)))
			call->args[0] = 0x100000 | (u32)call->args[0];
		if (percent(rng, 1))
			call->nr = CALL_FORK;
	}
}

#endif
