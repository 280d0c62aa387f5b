/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Programs that both languages can express: random valid classic filters, and
 * a translation to eBPF that owes nothing to the kernel's own one
 * (bpf_convert_filter() in net/core/filter.c), so that the two can be compared.
 */
#ifndef FUZZ_CLASSIC_H
#define FUZZ_CLASSIC_H

#include "insn.h"
#include "rng.h"

/* Translate wrongly, to prove that it is noticed. */
static bool sabotage;

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

/* --- generating ------------------------------------------------------------------------- */

struct classic_gen {
	struct rng *rng;
	struct fuzz_case *c;
	const struct pool *pool;
	u32 memory;	/* words of M[] that are known to be set */
	u32 body_end;	/* jumps go no further */
};

static void put_classic(struct fuzz_case *c, u16 code, u8 jt, u8 jf, u32 k)
{
	if (c->n_classic < MAX_CLASSIC)
		c->classic[c->n_classic++] = (struct sock_filter){ code, jt, jf, k };
}

static u32 a_set_word(struct classic_gen *g)
{
	u32 word;

	do
		word = below(g->rng, 16);
	while (!(g->memory & 1U << word));
	return word;
}

static void put_classic_alu(struct classic_gen *g)
{
	static const u8 ops[] = {
		BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_AND, BPF_OR, BPF_XOR, BPF_LSH, BPF_RSH,
	};
	u8 op = PICK(g->rng, ops);
	u32 k = pooled(g->rng, g->pool);

	if (percent(g->rng, 8)) {
		put_classic(g->c, BPF_ALU | BPF_NEG, 0, 0, 0);
		return;
	}
	if (percent(g->rng, 40)) {
		put_classic(g->c, BPF_ALU | op | BPF_X, 0, 0, 0);
		return;
	}
	if (op == BPF_LSH || op == BPF_RSH)
		k &= 31;
	if (op == BPF_DIV && !k)
		k = 3;
	put_classic(g->c, BPF_ALU | op | BPF_K, 0, 0, k);
}

static void put_classic_jump(struct classic_gen *g)
{
	static const u8 ops[] = { BPF_JEQ, BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET };
	u32 room = g->body_end - g->c->n_classic; /* at least 1: the epilogue follows */
	u8 source = percent(g->rng, 30) ? BPF_X : BPF_K;
	u32 far = room > 255 ? 255 : room;

	if (percent(g->rng, 6))
		put_classic(g->c, BPF_JMP | BPF_JA, 0, 0, below(g->rng, far));
	else
		put_classic(g->c, BPF_JMP | PICK(g->rng, ops) | source, below(g->rng, far),
			    below(g->rng, far), pooled(g->rng, g->pool));
}

static void put_classic_step(struct classic_gen *g)
{
	struct rng *rng = g->rng;

	switch (below(rng, 20)) {
	case 0 ... 4:
		put_classic(g->c, BPF_LD | BPF_W | BPF_ABS, 0, 0,
			    percent(rng, 30) ? 0 : 4 * below(rng, DATA_SIZE / 4));
		break;
	case 5:
		put_classic(g->c, percent(rng, 50) ? BPF_LD | BPF_W | BPF_LEN :
						     BPF_LDX | BPF_W | BPF_LEN, 0, 0, 0);
		break;
	case 6:
		put_classic(g->c, percent(rng, 50) ? BPF_LD | BPF_IMM : BPF_LDX | BPF_IMM, 0, 0,
			    pooled(rng, g->pool));
		break;
	case 7:
		put_classic(g->c, percent(rng, 50) ? BPF_ST : BPF_STX, 0, 0, a_set_word(g));
		break;
	case 8:
		put_classic(g->c, percent(rng, 50) ? BPF_LD | BPF_MEM : BPF_LDX | BPF_MEM, 0, 0,
			    a_set_word(g));
		break;
	case 9:
		put_classic(g->c, BPF_MISC | (percent(rng, 60) ? BPF_TAX : BPF_TXA), 0, 0, 0);
		break;
	case 10 ... 14:
		put_classic_alu(g);
		break;
	case 15:
		if (percent(rng, 50)) {
			put_classic(g->c, BPF_RET | BPF_K, 0, 0, random_verdict(rng));
			break;
		}
		/* fall through */
	default:
		put_classic_jump(g);
	}
}

/* Make what was computed visible: twelve bits of it are the errno. */
static void put_classic_epilogue(struct classic_gen *g)
{
	if (percent(g->rng, 25)) {
		put_classic(g->c, BPF_RET | BPF_K, 0, 0, random_verdict(g->rng));
		return;
	}
	/* Whatever it is: mostly an unknown action, which kills. */
	if (percent(g->rng, 4)) {
		put_classic(g->c, BPF_RET | BPF_A, 0, 0, 0);
		return;
	}
	put_classic(g->c, BPF_MISC | BPF_TAX, 0, 0, 0);
	put_classic(g->c, BPF_ALU | BPF_RSH | BPF_K, 0, 0, 12);
	put_classic(g->c, BPF_ALU | BPF_XOR | BPF_X, 0, 0, 0);
	put_classic(g->c, BPF_ALU | BPF_AND | BPF_K, 0, 0, 0xfff);
	put_classic(g->c, BPF_ALU | BPF_OR | BPF_K, 0, 0, RET_ERRNO);
	put_classic(g->c, BPF_RET | BPF_A, 0, 0, 0);
}

static void generate_classic(struct rng *rng, struct fuzz_case *c, const struct pool *pool)
{
	struct classic_gen g = { .rng = rng, .c = c, .pool = pool };

	for (u32 words = 1 + below(rng, 4); words; words--) {
		u32 word = below(rng, 16);

		put_classic(c, BPF_LDX | BPF_IMM, 0, 0, pooled(rng, pool));
		put_classic(c, BPF_STX, 0, 0, word);
		g.memory |= 1U << word;
	}
	put_classic(c, BPF_LD | BPF_W | BPF_ABS, 0, 0, 0);
	g.body_end = c->n_classic + 3 + below(rng, percent(rng, 20) ? 70 : 20);
	while (c->n_classic < g.body_end)
		put_classic_step(&g);
	put_classic_epilogue(&g);
}

/* --- translating ------------------------------------------------------------------------ */

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
