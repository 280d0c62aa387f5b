/* SPDX-License-Identifier: GPL-2.0-only */
/* Flaws of control, functions and encodings. */
#ifndef FUZZ_FLAWS_CODE_H
#define FUZZ_FLAWS_CODE_H

#include "gen.h"

/* --- control ---------------------------------------------------------------------------- */

static void fl_jump_away(struct gen *g)
{
	static const s16 offs[] = { 32767, -32768, -2000, 5000 };

	put(g->c, BPF_JMP | BPF_JEQ | BPF_K, a_number(g), 0, PICK(g->rng, offs), 1);
}

static void fl_jump_into_wide(struct gen *g)
{
	put(g->c, BPF_JMP | BPF_JEQ | BPF_K, a_number(g), 0, 1, 1);
	put_imm64(g->c, R0, 0, 1, 2);
	g->reg[R0] = NUMBER;
}

static void fl_unreachable(struct gen *g)
{
	put(g->c, BPF_JMP | BPF_JA, 0, 0, 1, 0);
	put_mov(g->c, R0, 0);
}

static void fl_endless(struct gen *g)
{
	if (percent(g->rng, 50))
		put(g->c, BPF_JMP | BPF_JA, 0, 0, -1, 0);
	else
		put(g->c, BPF_JMP | BPF_JNE | BPF_K, a_number(g), 0, -1, 1);
}

static void fl_long_jump(struct gen *g)
{
	put(g->c, BPF_JMP32 | BPF_JA, 0, 0, 0, percent(g->rng, 50) ? 1 : 100000);
	put_mov(g->c, R0, 0);
}

static void fl_no_exit(struct gen *g)
{
	put(g->c, BPF_JMP | BPF_JA, 0, 0, 0, 0);
	put(g->c, BPF_JMP | BPF_JEQ | BPF_K, a_number(g), 0, 30 + below(g->rng, 60), 1);
}

static void fl_indirect_jump(struct gen *g)
{
	put(g->c, BPF_JMP | BPF_JA | BPF_X, a_number(g), 0, 0, 0);
}

static void fl_early_exit(struct gen *g)
{
	put_call(g->c, BPF_FUNC_ktime_get_ns);
	put(g->c, BPF_JMP | BPF_JEQ | BPF_K, R0, 0, 2, 1);
	put_mov_reg(g->c, R0, R3);
	put_exit(g->c);
	clobbered_by_call(g);
}

/* --- functions -------------------------------------------------------------------------- */

static void fl_call_away(struct gen *g)
{
	put(g->c, BPF_JMP | BPF_CALL, 0, PSEUDO_CALL, 0, percent(g->rng, 50) ? 4000 : -4000);
	clobbered_by_call(g);
}

static void fl_recursion(struct gen *g)
{
	put(g->c, BPF_JMP | BPF_CALL, 0, PSEUDO_CALL, 0, -(s32)g->c->n_insns - 1);
	clobbered_by_call(g);
}

static void fl_call_nearby(struct gen *g)
{
	put(g->c, BPF_JMP | BPF_CALL, 0, PSEUDO_CALL, 0, below(g->rng, 6));
	clobbered_by_call(g);
}

static void fl_deep_stack(struct gen *g)
{
	put_store_imm(g->c, 8, R10, -512, 1);
}

/* --- encodings -------------------------------------------------------------------------- */

static void fl_unknown_opcode(struct gen *g)
{
	static const u8 codes[] = { 0xff, 0x8f, 0xe7, 0xf5, 0x00, 0x06, 0x1f, 0x40, 0x41, 0xe6, 0x3c };

	put(g->c, PICK(g->rng, codes), R0, R0, 0, 0);
}

static void fl_reserved_field(struct gen *g)
{
	switch (below(g->rng, 6)) {
	case 0:
		put(g->c, ALU64_K(BPF_ADD), R0, R1, 0, 1);
		break;
	case 1:
		put(g->c, ALU64_K(BPF_ADD), R0, 0, 5, 1);
		break;
	case 2:
		put(g->c, BPF_JMP | BPF_EXIT, R3, 0, 0, 0);
		break;
	case 3:
		put(g->c, BPF_LDX | BPF_MEM | BPF_W, R0, R6, 0, 7);
		break;
	case 4:
		put(g->c, BPF_JMP | BPF_CALL, R1, 0, 3, BPF_FUNC_ktime_get_ns);
		break;
	default:
		put(g->c, ALU64_X(BPF_MOV), R0, R6, 3, 0);
	}
}

static void fl_register_number(struct gen *g)
{
	put(g->c, ALU64_X(BPF_MOV), 11 + below(g->rng, 5), R6, 0, 0);
}

static void fl_division_by_zero(struct gen *g)
{
	put(g->c, percent(g->rng, 50) ? ALU64_K(BPF_DIV) : ALU32_K(BPF_MOD), a_number(g), 0, 0, 0);
}

static void fl_wide_shift(struct gen *g)
{
	put(g->c, percent(g->rng, 50) ? ALU64_K(BPF_LSH) : ALU32_K(BPF_RSH), a_number(g), 0, 0,
	    percent(g->rng, 50) ? 64 : -1);
}

static void fl_half_of_wide(struct gen *g)
{
	put(g->c, BPF_LD | BPF_IMM | BPF_DW, R0, 0, 0, 1);
	put(g->c, percent(g->rng, 50) ? 0xb7 : 0, percent(g->rng, 50) ? 3 : 0, 0, 0, 1);
	g->reg[R0] = NUMBER;
}

static void fl_byte_swap(struct gen *g)
{
	put(g->c, BPF_ALU | BPF_END | BPF_TO_BE, a_number(g), 0, 0, 24);
}

static void fl_sign_extension(struct gen *g)
{
	put(g->c, BPF_LDX | 0x80 | (percent(g->rng, 50) ? BPF_W : BPF_DW), R0, R6, 16, 0);
	g->reg[R0] = NUMBER;
}

static void fl_packet_load(struct gen *g)
{
	put(g->c, BPF_LD | BPF_ABS | BPF_W, 0, 0, 0, 0);
}

static void fl_address_space(struct gen *g)
{
	put(g->c, ALU64_X(BPF_MOV), R0, a_number(g), 1, 1);
	g->reg[R0] = NUMBER;
}

#endif
