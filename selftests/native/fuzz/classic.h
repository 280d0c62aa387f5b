/* SPDX-License-Identifier: GPL-2.0-only */
/* Random valid classic filters. */
#ifndef FUZZ_CLASSIC_H
#define FUZZ_CLASSIC_H

#include "insn.h"
#include "values.h"

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

#endif
