/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Statements that keep to the verifier's rules, and need no more than the context
 * and the stack. Those that have others in them are in generate.h.
 */
#ifndef FUZZ_STATEMENTS_H
#define FUZZ_STATEMENTS_H

#include "gen.h"

static void st_constant(struct gen *g)
{
	u8 reg = any_reg(g);
	u64 value = pooled(g->rng, g->pool);

	if (percent(g->rng, 30))
		put_imm64(g->c, reg, 0, value, value >> 32);
	else
		put(g->c, percent(g->rng, 50) ? ALU64_K(BPF_MOV) : ALU32_K(BPF_MOV), reg, 0, 0, value);
	g->reg[reg] = NUMBER;
}

static void st_context_load(struct gen *g)
{
	u8 reg = any_reg(g);
	int bytes = 1 << below(g->rng, 4);
	u32 off = percent(g->rng, 25) ? 0 : below(g->rng, DATA_SIZE / bytes) * bytes;

	if (off < 8 && bytes == 8)
		bytes = 4;
	/* Sign-extending loads of the context are refused: "invalid sign-extension". */
	put_load(g->c, bytes, reg, R6, off);
	g->reg[reg] = NUMBER;
}

static void st_alu(struct gen *g)
{
	static const u8 ops[] = {
		BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_MOD, BPF_AND, BPF_OR, BPF_XOR, BPF_LSH,
		BPF_RSH, BPF_ARSH, BPF_MOV,
	};
	bool wide = percent(g->rng, 55);
	u8 dst = a_number(g), op = PICK(g->rng, ops);
	s32 imm = pooled(g->rng, g->pool);
	s16 off = 0;

	if ((op == BPF_DIV || op == BPF_MOD) && percent(g->rng, 40))
		off = 1; /* signed */
	if (percent(g->rng, 45)) {
		u8 src = another_number(g);

		if (op == BPF_MOV && percent(g->rng, 40))
			off = wide && percent(g->rng, 40) ? 32 : percent(g->rng, 50) ? 8 : 16;
		put(g->c, wide ? ALU64_X(op) : ALU32_X(op), dst, src, off, 0);
		return;
	}
	if (op == BPF_LSH || op == BPF_RSH || op == BPF_ARSH)
		imm &= wide ? 63 : 31;
	if ((op == BPF_DIV || op == BPF_MOD) && !imm)
		imm = 7;
	put(g->c, wide ? ALU64_K(op) : ALU32_K(op), dst, 0, off, imm);
}

static void st_unary(struct gen *g)
{
	static const u8 widths[] = { 16, 32, 64 };
	u8 dst = a_number(g);

	switch (below(g->rng, 4)) {
	case 0:
		put(g->c, percent(g->rng, 50) ? ALU64_K(BPF_NEG) : ALU32_K(BPF_NEG), dst, 0, 0, 0);
		break;
	case 1:
		put(g->c, BPF_ALU | BPF_END | BPF_TO_LE, dst, 0, 0, PICK(g->rng, widths));
		break;
	case 2:
		put(g->c, BPF_ALU | BPF_END | BPF_TO_BE, dst, 0, 0, PICK(g->rng, widths));
		break;
	default:
		put(g->c, BPF_ALU64 | BPF_END, dst, 0, 0, PICK(g->rng, widths)); /* bswap */
	}
}

static void st_stack_store(struct gen *g)
{
	u32 slot = below(g->rng, SLOTS);
	int bytes = percent(g->rng, 70) ? 8 : 1 << below(g->rng, 4);
	s16 off = slot_off(slot) + below(g->rng, 8 / bytes) * bytes;

	if (percent(g->rng, 40))
		put_store_imm(g->c, bytes, R10, off, pooled(g->rng, g->pool));
	else
		put_store(g->c, bytes, R10, off, a_number(g));
	if (bytes == 8)
		g->stack |= 1U << slot;
}

static void st_stack_load(struct gen *g)
{
	u8 reg = any_reg(g);
	int bytes = 1 << below(g->rng, 4);
	s16 off = slot_off(written_slot(g)) + below(g->rng, 8 / bytes) * bytes;
	u8 mode = bytes < 8 && percent(g->rng, 20) ? BPF_LDX | 0x80 : BPF_LDX | BPF_MEM; /* MEMSX */

	put(g->c, mode | size_code(bytes), reg, R10, off, 0);
	g->reg[reg] = NUMBER;
}

static void st_spill_context(struct gen *g)
{
	u32 slot = below(g->rng, SLOTS);
	u8 reg = any_reg(g);

	put_store(g->c, 8, R10, slot_off(slot), R6);
	put_load(g->c, 8, reg, R10, slot_off(slot));
	put_load(g->c, 4, reg, reg, 4 * below(g->rng, 16));
	put_store_imm(g->c, 8, R10, slot_off(slot), 0);
	g->stack |= 1U << slot;
	g->reg[reg] = NUMBER;
}

static void st_atomic(struct gen *g)
{
	static const s32 ops[] = {
		BPF_ADD, BPF_AND, BPF_OR, BPF_XOR, BPF_ADD | BPF_FETCH, BPF_XOR | BPF_FETCH,
		BPF_XCHG, BPF_CMPXCHG,
	};
	s16 off = slot_off(written_slot(g));
	u8 src = a_number(g);
	s32 op = PICK(g->rng, ops);

	if (op == BPF_CMPXCHG && g->reg[R0] != NUMBER) {
		put_mov(g->c, R0, 0);
		g->reg[R0] = NUMBER;
	}
	put(g->c, BPF_STX | BPF_ATOMIC | (percent(g->rng, 60) ? BPF_DW : BPF_W), R10, src, off, op);
}

/*
 * may_goto ends a loop that nothing else ends after a quarter of a second
 * (kernel/bpf/core.c: bpf_check_timed_may_goto()), for each system call: that is
 * the rare case here.
 */
static void st_may_goto(struct gen *g)
{
	u8 reg = a_number(g);
	u32 head, skip;

	if (!g->capable)
		return;
	if (!percent(g->rng, 2))
		put_mov(g->c, reg, 1 + below(g->rng, 20));
	head = put(g->c, BPF_JMP | 0xe0, 0, 0, 0, 0); /* BPF_JCOND */
	put(g->c, ALU64_K(BPF_SUB), reg, 0, 0, 1);
	skip = put(g->c, BPF_JMP | BPF_JEQ | BPF_K, reg, 0, 0, 0);
	put(g->c, BPF_JMP | BPF_JA, 0, 0, (s16)(head - g->c->n_insns - 1), 0);
	land(g->c, skip);
	land(g->c, head);
}

static void st_call_function(struct gen *g)
{
	if (!g->capable || g->in_function || g->n_calls == ARRAY_SIZE(g->calls))
		return;
	for (u8 reg = R1; reg <= R5; reg++) {
		if (g->reg[reg] != NUMBER)
			put_mov(g->c, reg, pooled(g->rng, g->pool));
	}
	g->calls[g->n_calls++] = put(g->c, BPF_JMP | BPF_CALL, 0, PSEUDO_CALL, 0, 0);
	clobbered_by_call(g);
}

#endif
