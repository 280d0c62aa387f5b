/* SPDX-License-Identifier: GPL-2.0-only */
/* Flaws of registers and memory. */
#ifndef FUZZ_FLAWS_MEMORY_H
#define FUZZ_FLAWS_MEMORY_H

#include "gen.h"

static void fl_uninitialised_register(struct gen *g)
{
	u8 reg = R1;

	while (reg < R9 && g->reg[reg] != NOTHING)
		reg++;
	put_mov_reg(g->c, R0, reg);
	g->reg[R0] = NUMBER;
}

static void fl_uninitialised_stack(struct gen *g)
{
	put_load(g->c, 8, R0, R10, -8 * (s16)(SLOTS + 20 + below(g->rng, 8)));
	g->reg[R0] = NUMBER;
}

static void fl_stack_out_of_bounds(struct gen *g)
{
	static const s16 offs[] = { 0, 8, -516, -520, -512 - 4096, 32767, -32768 };

	put_store_imm(g->c, 8, R10, PICK(g->rng, offs), 1);
}

static void fl_stack_misaligned(struct gen *g)
{
	put_store_imm(g->c, 8, R10, -8 * (s16)(1 + below(g->rng, SLOTS)) - 1 - below(g->rng, 7), 1);
}

static void fl_stack_variable(struct gen *g)
{
	u8 index = a_number(g), reg = index == R1 ? R2 : R1;

	if (percent(g->rng, 50))
		put(g->c, ALU64_K(BPF_AND), index, 0, 0, 0x1f8);
	put_mov_reg(g->c, reg, R10);
	put(g->c, percent(g->rng, 50) ? ALU64_X(BPF_SUB) : ALU64_X(BPF_ADD), reg, index, 0, 0);
	put_load(g->c, 1, R0, reg, -8);
	g->reg[R0] = NUMBER;
	g->reg[reg] = NOTHING;
}

static void fl_write_frame_pointer(struct gen *g)
{
	put_mov(g->c, R10, 1);
}

static void fl_context_out_of_bounds(struct gen *g)
{
	static const s16 offs[] = { DATA_SIZE, DATA_SIZE - 4, -8, -1, 128, 32760 };

	put_load(g->c, 8, R0, R6, PICK(g->rng, offs));
	g->reg[R0] = NUMBER;
}

static void fl_context_misaligned(struct gen *g)
{
	static const struct { u8 bytes, off; } loads[] = {
		{ 8, 0 }, { 8, 4 }, { 4, 2 }, { 2, 1 }, { 8, 12 }, { 4, 61 }, { 2, 63 },
	};
	u32 i = below(g->rng, ARRAY_SIZE(loads));

	put_load(g->c, loads[i].bytes, R0, R6, loads[i].off);
	g->reg[R0] = NUMBER;
}

static void fl_context_write(struct gen *g)
{
	switch (below(g->rng, 3)) {
	case 0:
		put_store_imm(g->c, 4, R6, 0, 0);
		break;
	case 1:
		put_store(g->c, 8, R6, 16, R10);
		break;
	default:
		put(g->c, BPF_STX | BPF_ATOMIC | BPF_DW, R6, a_number(g), 16, BPF_ADD);
	}
}

static void fl_context_moved(struct gen *g)
{
	u8 reg = any_reg(g);

	put_mov_reg(g->c, reg, R6);
	if (percent(g->rng, 50))
		put(g->c, ALU64_K(BPF_ADD), reg, 0, 0, 4 * (1 + below(g->rng, 20)));
	else
		put(g->c, ALU64_X(BPF_ADD), reg, a_number(g), 0, 0);
	put_load(g->c, 4, reg, reg, 0);
	g->reg[reg] = NUMBER;
}

static void fl_pointer_arithmetic(struct gen *g)
{
	static const u8 ops[] = { BPF_MUL, BPF_AND, BPF_XOR, BPF_LSH, BPF_DIV, BPF_OR };
	u8 reg = any_reg(g);

	put_mov_reg(g->c, reg, percent(g->rng, 50) ? R6 : R10);
	put(g->c, percent(g->rng, 60) ? ALU64_K(PICK(g->rng, ops)) : ALU32_K(BPF_ADD), reg, 0, 0, 8);
	g->reg[reg] = NUMBER;
}

static void fl_pointers_added(struct gen *g)
{
	u8 reg = any_reg(g);

	put_mov_reg(g->c, reg, R10);
	put(g->c, percent(g->rng, 50) ? ALU64_X(BPF_ADD) : ALU64_X(BPF_SUB), reg, R6, 0, 0);
	g->reg[reg] = NUMBER;
}

static void fl_pointer_returned(struct gen *g)
{
	/* On one of two paths, so that what follows is reached. */
	put(g->c, BPF_JMP | BPF_JEQ | BPF_K, a_number(g), 0, 2, 1);
	put_mov_reg(g->c, R0, percent(g->rng, 50) ? R6 : R10);
	put_exit(g->c);
	g->reg[R0] = NOTHING;
}

static void fl_pointer_compared(struct gen *g)
{
	put(g->c, BPF_JMP | BPF_JGT | BPF_X, R6, R10, 0, 0);
	put(g->c, BPF_JMP | BPF_JGT | BPF_K, R6, 0, 0, 5);
}

static void fl_number_followed(struct gen *g)
{
	u8 reg = a_number(g);

	put_load(g->c, 4, reg, reg, below(g->rng, 64));
}

static void fl_partial_spill(struct gen *g)
{
	put_store(g->c, 8, R10, -8, R6);
	put_store_imm(g->c, 1, R10, -8 + (s16)below(g->rng, 8), 0);
	put_load(g->c, 8, R0, R10, -8);
	put_load(g->c, 4, R0, R0, 0);
	g->stack |= 1;
	g->reg[R0] = NUMBER;
}

static void fl_atomic_elsewhere(struct gen *g)
{
	u8 reg = a_number(g);

	put(g->c, BPF_STX | BPF_ATOMIC | BPF_DW, reg, reg, 0, BPF_ADD);
}

static void fl_atomic_unknown(struct gen *g)
{
	static const s32 ops[] = { 0x20, 0x51 | 0x8, 0xff, 0x100, 0x110, 0x30 };

	put(g->c, BPF_STX | BPF_ATOMIC | (percent(g->rng, 70) ? BPF_DW : BPF_B), R10, a_number(g),
	    slot_off(written_slot(g)), PICK(g->rng, ops));
}

#endif
