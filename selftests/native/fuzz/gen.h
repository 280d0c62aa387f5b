/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An eBPF filter that is being written: it is known of each register and stack
 * slot what is in it. What statements and flaws share.
 */
#ifndef FUZZ_GEN_H
#define FUZZ_GEN_H

#include "calls.h"
#include "loaders.h"
#include "maps.h"

enum content { NOTHING, NUMBER, CONTEXT, FRAME, VALUE };

#define SLOTS		24	/* stack slots of eight bytes that are used */

struct gen {
	struct rng *rng;
	struct fuzz_case *c;
	const struct pool *pool;
	enum content reg[11];
	u32 stack;		/* slots that are written */
	int depth;		/* of branches and loops */
	bool state;		/* maps and helpers may be used */
	bool capable;		/* loops and functions may be */
	bool in_function;
	u32 calls[8];		/* calls of functions that are still to be written */
	u32 n_calls;
};

/* R0 to R5 and R7 to R9; R6 keeps the context. */
static u8 any_reg(struct gen *g)
{
	static const u8 regs[] = { R0, R1, R2, R3, R4, R5, R7, R8, R9 };

	return PICK(g->rng, regs);
}

static u8 a_number(struct gen *g)
{
	u8 reg;

	for (int attempt = 0; attempt < 12; attempt++) {
		reg = any_reg(g);
		if (g->reg[reg] == NUMBER)
			return reg;
	}
	reg = any_reg(g);
	put_mov(g->c, reg, pooled(g->rng, g->pool));
	g->reg[reg] = NUMBER;
	return reg;
}

/* Two different registers with numbers in them, or the same one twice. */
static u8 another_number(struct gen *g)
{
	return a_number(g);
}

static void clobbered_by_call(struct gen *g)
{
	for (u8 reg = R1; reg <= R5; reg++)
		g->reg[reg] = NOTHING;
	g->reg[R0] = NUMBER;
}

/* Paths meet: what is known is what both know. */
static void merge(struct gen *g, const struct gen *other)
{
	for (int reg = 0; reg < 10; reg++)
		if (g->reg[reg] != other->reg[reg])
			g->reg[reg] = NOTHING;
	g->stack &= other->stack;
}

static s16 slot_off(u32 slot)
{
	return -8 * (s16)(slot + 1);
}

/* A slot that is written, by the next instruction if there is none. */
static u32 written_slot(struct gen *g)
{
	u32 slot = below(g->rng, SLOTS);

	for (u32 tried = 0; tried < SLOTS; tried++, slot = (slot + 1) % SLOTS)
		if (g->stack & 1U << slot)
			return slot;
	put_store_imm(g->c, 8, R10, slot_off(slot), pooled(g->rng, g->pool));
	g->stack |= 1U << slot;
	return slot;
}

static void put_key(struct gen *g, u8 reg, u32 limit)
{
	u32 slot = below(g->rng, SLOTS);

	put_store_imm(g->c, 8, R10, slot_off(slot), below(g->rng, limit + 2));
	put_mov_reg(g->c, reg, R10);
	put(g->c, ALU64_K(BPF_ADD), reg, 0, 0, slot_off(slot));
	g->stack |= 1U << slot;
}

static void put_value(struct gen *g, u8 reg)
{
	for (u32 slot = 0; slot < MAP_VALUE_SIZE / 8; slot++) {
		if (!(g->stack & 1U << slot))
			put_store_imm(g->c, 8, R10, slot_off(slot), pooled(g->rng, g->pool));
		g->stack |= 1U << slot;
	}
	put_mov_reg(g->c, reg, R10);
	put(g->c, ALU64_K(BPF_ADD), reg, 0, 0, -MAP_VALUE_SIZE);
}

static void put_map(struct gen *g, u8 reg, enum map map)
{
	if (g->c->fd_array_cnt > (u32)map && percent(g->rng, 60))
		put_imm64(g->c, reg, PSEUDO_MAP_IDX, map, 0);
	else
		put_imm64(g->c, reg, PSEUDO_MAP_FD, MAP_FD(map), 0);
}

#endif
