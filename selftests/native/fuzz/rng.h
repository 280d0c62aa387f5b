/* SPDX-License-Identifier: GPL-2.0-only */
/* Random numbers that are the same everywhere for the same seed (splitmix64). */
#ifndef FUZZ_RNG_H
#define FUZZ_RNG_H

#include "kernel.h"

struct rng {
	u64 state;
};

static inline u64 mix(u64 z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static inline struct rng rng_for(u64 seed, u64 index)
{
	return (struct rng){ mix(mix(seed + 0x9e3779b97f4a7c15ULL) ^ (index * 0xd1342543de82ef95ULL + 1)) };
}

static inline u64 rng_next(struct rng *rng)
{
	rng->state += 0x9e3779b97f4a7c15ULL;
	return mix(rng->state);
}

/* 0 to n - 1 */
static inline u32 below(struct rng *rng, u32 n)
{
	return (u32)(rng_next(rng) >> 32) % n;
}

static inline bool percent(struct rng *rng, u32 p)
{
	return below(rng, 100) < p;
}

#define PICK(rng, table)	((table)[below(rng, ARRAY_SIZE(table))])

#endif
