/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Random eBPF filters that keep to the verifier's rules: statements are chosen by
 * what is known of registers and stack. What breaks the rules on purpose is in
 * flaws.h.
 */
#ifndef FUZZ_GENERATE_H
#define FUZZ_GENERATE_H

#include "flaws.h"
#include "statements.h"
#include "statements_state.h"

static void put_verdict(struct gen *g)
{
	struct rng *rng = g->rng;

	if (percent(rng, 45)) {
		u8 reg = a_number(g);

		put_mov_reg(g->c, R0, reg);
		put(g->c, ALU64_K(BPF_AND), R0, 0, 0, 0xfff);
		put(g->c, ALU64_K(BPF_OR), R0, 0, 0, RET_ERRNO);
	} else {
		put(g->c, ALU32_K(BPF_MOV), R0, 0, 0, random_verdict(rng));
	}
	put_exit(g->c);
}

static u32 put_condition(struct gen *g)
{
	static const u8 ops[] = {
		BPF_JEQ, BPF_JNE, BPF_JGT, BPF_JGE, BPF_JLT, BPF_JLE, BPF_JSGT, BPF_JSGE, BPF_JSLT,
		BPF_JSLE, BPF_JSET,
	};
	u8 class = percent(g->rng, 50) ? BPF_JMP : BPF_JMP32, op = PICK(g->rng, ops);
	u8 reg = a_number(g);

	if (percent(g->rng, 30)) {
		u8 other = another_number(g);

		return put(g->c, class | op | BPF_X, reg, other, 0, 0);
	}
	return put(g->c, class | op | BPF_K, reg, 0, 0, pooled(g->rng, g->pool));
}

static void generate_block(struct gen *g, u32 statements);

static void st_if(struct gen *g)
{
	struct gen before, then;
	u32 skip, over;

	if (g->depth > 3)
		return;
	skip = put_condition(g);
	before = *g;
	g->depth++;
	generate_block(g, 1 + below(g->rng, 4));
	if (percent(g->rng, 15)) {
		/* This path ends here. */
		if (!g->in_function)
			put_verdict(g);
		else {
			put_mov(g->c, R0, 1);
			put_exit(g->c);
		}
		land(g->c, skip);
		then = *g;
		*g = before;
	} else if (percent(g->rng, 50)) {
		over = put(g->c, BPF_JMP | BPF_JA, 0, 0, 0, 0);
		land(g->c, skip);
		then = *g;
		*g = before;
		generate_block(g, 1 + below(g->rng, 4));
		land(g->c, over);
		merge(g, &then);
	} else {
		land(g->c, skip);
		then = *g;
		merge(g, &before);
	}
	/* Calls are counted over all paths. */
	for (; g->n_calls < then.n_calls; g->n_calls++)
		g->calls[g->n_calls] = then.calls[g->n_calls];
	g->depth = before.depth;
}

static void st_loop(struct gen *g)
{
	struct gen before;
	u32 head, slot = SLOTS + (u32)g->depth; /* nobody else uses these */

	if (g->depth > 2 || !g->capable)
		return;
	put_store_imm(g->c, 8, R10, slot_off(slot), 2 + below(g->rng, 6));
	before = *g;
	head = g->c->n_insns;
	g->depth += 2;
	/* The second time round no more is known than is still true at the end of the body: so the
	 * body begins knowing what no statement takes away. */
	for (u8 reg = R0; reg <= R5; reg++)
		g->reg[reg] = NOTHING;
	generate_block(g, 1 + below(g->rng, 4));
	put_load(g->c, 8, R0, R10, slot_off(slot));
	put(g->c, ALU64_K(BPF_SUB), R0, 0, 0, 1);
	put_store(g->c, 8, R10, slot_off(slot), R0);
	put(g->c, BPF_JMP | BPF_JNE | BPF_K, R0, 0, (s16)(head - g->c->n_insns - 1), 0);
	g->depth = before.depth;
	for (u8 reg = R1; reg <= R5; reg++)
		g->reg[reg] = NOTHING;
	g->reg[R0] = NUMBER;
}

struct statement {
	void (*put)(struct gen *g);
	u32 weight;
	bool state;
};

static const struct statement statements[] = {
	{ st_constant, 6, false },
	{ st_context_load, 12, false },
	{ st_alu, 20, false },
	{ st_unary, 4, false },
	{ st_stack_store, 7, false },
	{ st_stack_load, 7, false },
	{ st_spill_context, 2, false },
	{ st_atomic, 2, false },
	{ st_if, 16, false },
	{ st_loop, 4, false },
	{ st_may_goto, 1, false },
	{ st_call_function, 5, false },
	{ st_map_lookup, 5, true },
	{ st_map_update, 4, true },
	{ st_map_delete, 2, true },
	{ st_map_value, 4, true },
	{ st_variable_offset, 2, true },
	{ st_plain_helper, 7, true },
	{ st_tail_call, 2, true },
	{ st_ringbuf_output, 3, true },
	{ st_ringbuf_reserve, 3, true },
	{ st_task_storage, 5, true },
	{ st_probe_read_user, 5, true },
	{ st_current_task, 1, true },
	{ st_queue, 2, true },
	{ st_kernel_variable, 1, true },
};

static void generate_statement(struct gen *g)
{
	u32 total = 0, at;

	for (u32 i = 0; i < ARRAY_SIZE(statements); i++)
		if (g->state || !statements[i].state)
			total += statements[i].weight;
	at = below(g->rng, total);
	for (u32 i = 0; i < ARRAY_SIZE(statements); i++) {
		if (statements[i].state && !g->state)
			continue;
		if (at < statements[i].weight) {
			statements[i].put(g);
			return;
		}
		at -= statements[i].weight;
	}
}

static void generate_block(struct gen *g, u32 count)
{
	while (count--)
		generate_statement(g);
}

/* --- whole programs --------------------------------------------------------------------- */

/* The functions that main calls come behind it; some are called more than once. */
static void generate_functions(struct gen *g)
{
	u32 first = 0;

	g->in_function = true;
	while (first < g->n_calls) {
		u32 callers = percent(g->rng, 30) ? g->n_calls - first : 1;
		u32 start = g->c->n_insns;

		for (u32 i = first; i < first + callers; i++)
			g->c->insns[g->calls[i]].imm = start - g->calls[i] - 1;
		first += callers;
		memset(g->reg, 0, sizeof(g->reg));
		for (u8 reg = R1; reg <= R5; reg++)
			g->reg[reg] = NUMBER;
		g->stack = 0;
		g->depth = 1;
		/* A function has no context: give it something in its place to load from. */
		put_mov_reg(g->c, R6, R10);
		put(g->c, ALU64_K(BPF_ADD), R6, 0, 0, -DATA_SIZE - 8 * SLOTS - 40);
		for (int off = 0; off < DATA_SIZE; off += 8)
			put_store_imm(g->c, 8, R6, off, pooled(g->rng, g->pool));
		generate_block(g, 1 + below(g->rng, 6));
		if (g->reg[R0] != NUMBER)
			put_mov_reg(g->c, R0, a_number(g));
		put_exit(g->c);
	}
}

/* ``flaws``: how many times the rules are to be broken. */
static void generate_open(struct rng *rng, struct fuzz_case *c, const struct pool *pool, u32 flaws)
{
	struct gen g = { .rng = rng, .c = c, .pool = pool };
	u32 count = 2 + below(rng, percent(rng, 25) ? 30 : 10);

	g.capable = has_bpf(c->loader) || percent(rng, 8);
	g.state = (c->scope == SCOPE_OPEN || percent(rng, 40)) && percent(rng, 65);
	put_mov_reg(c, R6, R1);
	g.reg[R6] = CONTEXT;
	g.reg[R10] = FRAME;
	while (count--) {
		if (flaws && below(rng, count + 1) < flaws) {
			generate_flaw(&g);
			flaws--;
		}
		generate_statement(&g);
	}
	put_verdict(&g);
	generate_functions(&g);
}

#endif
