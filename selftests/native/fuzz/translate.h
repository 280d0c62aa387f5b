/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A translation of classic filters to eBPF that owes nothing to the kernel's own
 * one (bpf_convert_filter() in net/core/filter.c), so that the two can be compared.
 */
#ifndef FUZZ_TRANSLATE_H
#define FUZZ_TRANSLATE_H

#include "insn.h"

/* Translate wrongly, to prove that it is noticed. */
static bool sabotage;

struct translation {
	const struct fuzz_case *from;
	struct fuzz_case *to;
	u8 a, x, spare, ctx;		/* registers */
	u8 word;			/* bytes that a word of M[] takes on the stack */
	u32 place[MAX_CLASSIC + 1];	/* of each classic instruction */
	struct { u32 insn, target; } jumps[3 * MAX_CLASSIC];
	u32 n_jumps;
};

static void jump_to(struct translation *t, u32 insn, u32 target)
{
	t->jumps[t->n_jumps].insn = insn;
	t->jumps[t->n_jumps++].target = target;
}

/* A word of the context, by a load of its own, a part of a wider one, or narrower ones. */
static void translate_load(struct translation *t, u32 k)
{
	u32 form = (t->from->style >> 8 >> (k / 4)) % 4;

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	if (form == 1 && k >= 8) {
		put_load(t->to, 8, t->a, t->ctx, k & ~7);
		put(t->to, k & 4 ? ALU64_K(BPF_RSH) : ALU64_K(BPF_LSH), t->a, 0, 0, 32);
		if (!(k & 4))
			put(t->to, ALU64_K(BPF_RSH), t->a, 0, 0, 32);
		return;
	}
	if (form == 2) {
		put_load(t->to, 2, t->spare, t->ctx, k + 2);
		put(t->to, ALU64_K(BPF_LSH), t->spare, 0, 0, 16);
		put_load(t->to, 2, t->a, t->ctx, k);
		put(t->to, ALU64_X(BPF_OR), t->a, t->spare, 0, 0);
		return;
	}
	if (form == 3 && t->from->style & 1 << 5) {
		put_load(t->to, 1, t->a, t->ctx, k);
		for (int byte = 1; byte < 4; byte++) {
			put_load(t->to, 1, t->spare, t->ctx, k + byte);
			put(t->to, ALU64_K(BPF_LSH), t->spare, 0, 0, 8 * byte);
			put(t->to, ALU64_X(BPF_OR), t->a, t->spare, 0, 0);
		}
		return;
	}
#endif
	(void)form;
	put_load(t->to, 4, t->a, t->ctx, k);
}

static void translate_alu(struct translation *t, const struct sock_filter *f)
{
	u8 op = BPF_OP(f->code);

	if (op == BPF_NEG) {
		put(t->to, ALU32_K(BPF_NEG), t->a, 0, 0, 0);
	} else if (BPF_SRC(f->code) == BPF_K) {
		put(t->to, ALU32_K(op), t->a, 0, 0, f->k);
	} else {
		if (op == BPF_DIV) {
			/* Classic programs end with 0 where they divide by 0. */
			put(t->to, BPF_JMP32 | BPF_JNE | BPF_K, t->x, 0, 2, 0);
			put_mov(t->to, R0, 0);
			put_exit(t->to);
		}
		put(t->to, ALU32_X(op), t->a, t->x, 0, 0);
	}
}

static void translate_jump(struct translation *t, u32 i, const struct sock_filter *f)
{
	u8 op = BPF_OP(f->code);
	u32 insn;

	if (op == BPF_JA) {
		insn = put(t->to, BPF_JMP | BPF_JA, 0, 0, 0, 0);
		jump_to(t, insn, i + 1 + f->k);
		return;
	}
	if (sabotage && op == BPF_JGT)
		op = BPF_JGE;
	if (BPF_SRC(f->code) == BPF_K)
		insn = put(t->to, BPF_JMP32 | op | BPF_K, t->a, 0, 0, f->k);
	else
		insn = put(t->to, BPF_JMP32 | op | BPF_X, t->a, t->x, 0, 0);
	jump_to(t, insn, i + 1 + f->jt);
	if (f->jf) {
		insn = put(t->to, BPF_JMP | BPF_JA, 0, 0, 0, 0);
		jump_to(t, insn, i + 1 + f->jf);
	}
}

static void translate_ret(struct translation *t, const struct sock_filter *f)
{
	if (BPF_RVAL(f->code) == BPF_K)
		put(t->to, ALU32_K(BPF_MOV), R0, 0, 0, f->k);
	else
		put(t->to, ALU32_X(BPF_MOV), R0, t->a, 0, 0);
	/* A verdict is the lower half of R0. */
	if (t->from->style & 1 << 7) {
		put_imm64(t->to, R4, 0, 0, t->from->style >> 32 | 1);
		put(t->to, ALU64_X(BPF_OR), R0, R4, 0, 0);
	}
	put_exit(t->to);
}

static void translate_one(struct translation *t, u32 i)
{
	const struct sock_filter *f = &t->from->classic[i];
	u8 reg = BPF_CLASS(f->code) == BPF_LDX || BPF_CLASS(f->code) == BPF_STX ? t->x : t->a;
	s16 word = -t->word * (s16)(1 + (f->k & 15));

	t->place[i] = t->to->n_insns;
	switch (BPF_CLASS(f->code)) {
	case BPF_LD:
	case BPF_LDX:
		if (BPF_MODE(f->code) == BPF_ABS)
			translate_load(t, f->k);
		else if (BPF_MODE(f->code) == BPF_MEM)
			put_load(t->to, 4, reg, R10, word);
		else
			put(t->to, ALU32_K(BPF_MOV), reg, 0, 0,
			    BPF_MODE(f->code) == BPF_LEN ? DATA_SIZE : f->k);
		break;
	case BPF_ST:
	case BPF_STX:
		put_store(t->to, 4, R10, word, reg);
		break;
	case BPF_ALU:
		translate_alu(t, f);
		break;
	case BPF_JMP:
		translate_jump(t, i, f);
		break;
	case BPF_RET:
		translate_ret(t, f);
		break;
	case BPF_MISC:
		if (BPF_MISCOP(f->code) == BPF_TAX)
			put(t->to, ALU32_X(BPF_MOV), t->x, t->a, 0, 0);
		else
			put(t->to, ALU32_X(BPF_MOV), t->a, t->x, 0, 0);
		break;
	}
}

/* The verifier refuses code that no path leads to; classic filters may have some. */
static void find_reached(const struct fuzz_case *c, bool *reached)
{
	memset(reached, 0, (MAX_CLASSIC + 257) * sizeof(*reached));
	reached[0] = true;
	for (u32 i = 0; i < c->n_classic; i++) {
		const struct sock_filter *f = &c->classic[i];

		if (!reached[i] || BPF_CLASS(f->code) == BPF_RET)
			continue;
		if (BPF_CLASS(f->code) != BPF_JMP) {
			reached[i + 1] = true;
		} else if (BPF_OP(f->code) == BPF_JA) {
			reached[f->k < c->n_classic - i ? i + 1 + f->k : c->n_classic] = true;
		} else {
			reached[i + 1 + f->jt] = true;
			reached[i + 1 + f->jf] = true;
		}
	}
}

/* Write the classic program of a case as its eBPF program, in the way that its style says. */
static void translate(struct fuzz_case *c)
{
	static const u8 layouts[][4] = {
		{ R0, R7, R2, R6 }, { R2, R3, R0, R1 }, { R8, R9, R7, R6 }, { R0, R1, R3, R9 },
		{ R5, R0, R4, R6 }, { R7, R8, R0, R6 },
	};
	static struct translation t;
	static bool reached[MAX_CLASSIC + 257];
	const u8 *layout = layouts[c->style % ARRAY_SIZE(layouts)];

	memset(&t, 0, sizeof(t));
	t = (struct translation){
		.from = c, .to = c, .a = layout[0], .x = layout[1], .spare = layout[2],
		.ctx = layout[3], .word = c->style & 64 ? 8 : 4,
	};
	c->n_insns = 0;
	if (t.ctx != R1)
		put_mov_reg(c, t.ctx, R1);
	put_mov(c, t.a, 0);
	put_mov(c, t.x, 0);
	find_reached(c, reached);
	for (u32 i = 0; i < c->n_classic; i++)
		if (reached[i])
			translate_one(&t, i);
	for (u32 i = 0; i < t.n_jumps; i++) {
		u32 target = t.jumps[i].target;

		/* A program that was cut down may jump past its end: refused, as the classic one. */
		if (target >= c->n_classic)
			t.place[target = c->n_classic] = c->n_insns;
		c->insns[t.jumps[i].insn].off = t.place[target] - t.jumps[i].insn - 1;
	}
}

#endif
