/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Random eBPF filters that keep to the verifier's rules: it is known of each
 * register and stack slot what is in it, and statements are chosen accordingly.
 * What breaks the rules on purpose is in flaws.h.
 */
#ifndef FUZZ_GENERATE_H
#define FUZZ_GENERATE_H

#include "calls.h"
#include "loaders.h"
#include "maps.h"

enum content { NOTHING, NUMBER, CONTEXT, FRAME, VALUE };

#define SLOTS		24	/* stack slots of eight bytes that are used */
#define MAX_FUNCTIONS	3

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

/* --- statements ------------------------------------------------------------------------- */

static void generate_block(struct gen *g, u32 statements);

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

static s16 slot_off(u32 slot)
{
	return -8 * (s16)(slot + 1);
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

/* --- statements with state -------------------------------------------------------------- */

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

/* Something with a value, through a pointer that is not null. */
static void put_value_access(struct gen *g, u8 reg)
{
	int bytes = 1 << below(g->rng, 4);
	s16 off = below(g->rng, MAP_VALUE_SIZE / bytes) * bytes;

	switch (below(g->rng, 3)) {
	case 0:
		put_load(g->c, bytes, reg, reg, off);
		g->reg[reg] = NUMBER;
		return;
	case 1:
		put_store_imm(g->c, bytes, reg, off, pooled(g->rng, g->pool));
		break;
	default:
		put_mov(g->c, R1, 1);
		put(g->c, BPF_STX | BPF_ATOMIC | BPF_DW, reg, R1, off & ~7, BPF_ADD);
		g->reg[R1] = NUMBER;
	}
	g->reg[reg] = NOTHING;
}

static void st_map_lookup(struct gen *g)
{
	static const enum map lookups[] = { ARRAY, HASH, LRU, PERCPU, FROZEN };
	enum map map = PICK(g->rng, lookups);
	u32 skip;

	put_key(g, R2, 16);
	put_map(g, R1, map);
	put_call(g->c, BPF_FUNC_map_lookup_elem);
	clobbered_by_call(g);
	skip = put(g->c, BPF_JMP | BPF_JEQ | BPF_K, R0, 0, 0, 0);
	if (map == FROZEN)
		put_load(g->c, 8, R0, R0, 0);
	else
		put_value_access(g, R0);
	land(g->c, skip);
	g->reg[R0] = NOTHING;
	g->reg[R1] = NOTHING;
}

static void st_map_update(struct gen *g)
{
	static const enum map updates[] = { ARRAY, HASH, LRU, PERCPU };

	put_value(g, R3);
	put_key(g, R2, 16);
	/* The key may have been put into the value: it is written all the same. */
	put_mov(g->c, R4, below(g->rng, 3));
	put_map(g, R1, PICK(g->rng, updates));
	put_call(g->c, BPF_FUNC_map_update_elem);
	clobbered_by_call(g);
}

static void st_map_delete(struct gen *g)
{
	put_key(g, R2, 16);
	put_map(g, R1, percent(g->rng, 50) ? HASH : LRU);
	put_call(g->c, BPF_FUNC_map_delete_elem);
	clobbered_by_call(g);
}

static void st_map_value(struct gen *g)
{
	u8 reg = R1 + below(g->rng, 5);
	enum map map = percent(g->rng, 75) ? DATA : FROZEN;

	if (map == FROZEN) {
		put_imm64(g->c, reg, PSEUDO_MAP_VALUE, MAP_FD(map), below(g->rng, 8) * 8);
		put_load(g->c, 8, reg, reg, 0);
		g->reg[reg] = NUMBER;
		return;
	}
	put_imm64(g->c, reg, PSEUDO_MAP_VALUE, MAP_FD(map), below(g->rng, DATA_VALUE_SIZE / 8) * 8);
	put_store_imm(g->c, 4, reg, 0, pooled(g->rng, g->pool));
	put_load(g->c, 4, reg, reg, 4);
	g->reg[reg] = NUMBER;
}

/* A value's byte at an offset that is only known to be small enough. */
static void st_variable_offset(struct gen *g)
{
	u8 index = a_number(g), reg = index == R1 ? R2 : R1;

	if (!g->capable)
		return;
	put(g->c, ALU64_K(BPF_AND), index, 0, 0, MAP_VALUE_SIZE - 1);
	put_imm64(g->c, reg, PSEUDO_MAP_VALUE, MAP_FD(DATA), 0);
	put(g->c, ALU64_X(BPF_ADD), reg, index, 0, 0);
	put_load(g->c, 1, reg, reg, 0);
	g->reg[reg] = NUMBER;
}

static void st_plain_helper(struct gen *g)
{
	static const s32 helpers[] = {
		BPF_FUNC_ktime_get_ns, BPF_FUNC_get_prandom_u32, BPF_FUNC_get_smp_processor_id,
		BPF_FUNC_get_current_pid_tgid, BPF_FUNC_get_current_uid_gid,
		BPF_FUNC_get_numa_node_id, BPF_FUNC_jiffies64, BPF_FUNC_ktime_get_boot_ns,
		BPF_FUNC_get_current_cgroup_id,
	};
	/* All but the last two are for every loader. */
	u32 count = ARRAY_SIZE(helpers) - (g->capable ? 0 : 3);

	put_call(g->c, helpers[below(g->rng, count)]);
	clobbered_by_call(g);
}

static void st_tail_call(struct gen *g)
{
	if (g->in_function)
		return;
	put_mov_reg(g->c, R1, R6);
	put_map(g, R2, PROGS);
	put_mov(g->c, R3, below(g->rng, 4));
	put_call(g->c, BPF_FUNC_tail_call);
	clobbered_by_call(g);
}

static void st_ringbuf_output(struct gen *g)
{
	put_value(g, R2);
	put_map(g, R1, RING);
	put_mov(g->c, R3, 8 + 8 * below(g->rng, 7));
	put_mov(g->c, R4, 0);
	put_call(g->c, BPF_FUNC_ringbuf_output);
	clobbered_by_call(g);
}

static void st_ringbuf_reserve(struct gen *g)
{
	u32 skip;

	put_map(g, R1, RING);
	put_mov(g->c, R2, 16);
	put_mov(g->c, R3, 0);
	put_call(g->c, BPF_FUNC_ringbuf_reserve);
	clobbered_by_call(g);
	skip = put(g->c, BPF_JMP | BPF_JEQ | BPF_K, R0, 0, 0, 0);
	put_store_imm(g->c, 8, R0, 8 * below(g->rng, 2), 1);
	put_mov_reg(g->c, R1, R0);
	put_mov(g->c, R2, 0);
	put_call(g->c, percent(g->rng, 50) ? BPF_FUNC_ringbuf_submit : BPF_FUNC_ringbuf_discard);
	land(g->c, skip);
	clobbered_by_call(g);
	g->reg[R0] = NOTHING;
}

static void st_task_storage(struct gen *g)
{
	u32 skip;

	put_map(g, R1, STORAGE);
	put_mov(g->c, R2, 0);
	if (percent(g->rng, 20)) {
		put_call(g->c, BPF_FUNC_task_storage_delete);
		clobbered_by_call(g);
		return;
	}
	put_mov(g->c, R3, 0);
	put_mov(g->c, R4, below(g->rng, 2));
	put_call(g->c, BPF_FUNC_task_storage_get);
	clobbered_by_call(g);
	skip = put(g->c, BPF_JMP | BPF_JEQ | BPF_K, R0, 0, 0, 0);
	put_store_imm(g->c, 8, R0, 0, 5);
	land(g->c, skip);
	g->reg[R0] = NOTHING;
}

static void st_probe_read_user(struct gen *g)
{
	u32 slot = 2 + below(g->rng, SLOTS - 2);
	u32 arg = below(g->rng, 6);

	put_mov_reg(g->c, R1, R10);
	put(g->c, ALU64_K(BPF_ADD), R1, 0, 0, slot_off(slot));
	put_mov(g->c, R2, percent(g->rng, 80) ? 8 * (1 + below(g->rng, 2)) : 1 + below(g->rng, 16));
	put_load(g->c, 8, R3, R6, 16 + 8 * arg);
	put_call(g->c, percent(g->rng, 50) ? BPF_FUNC_probe_read_user : BPF_FUNC_probe_read_user_str);
	clobbered_by_call(g);
}

static void st_current_task(struct gen *g)
{
	put_call(g->c, BPF_FUNC_get_current_task_btf);
	clobbered_by_call(g);
	put_mov_reg(g->c, R2, R0);
	put_map(g, R1, STORAGE);
	put_mov(g->c, R3, 0);
	put_mov(g->c, R4, 1);
	put_call(g->c, BPF_FUNC_task_storage_get);
	clobbered_by_call(g);
	g->reg[R0] = NOTHING;
}

static void st_queue(struct gen *g)
{
	static const s32 helpers[] = { BPF_FUNC_map_push_elem, BPF_FUNC_map_pop_elem, BPF_FUNC_map_peek_elem };

	if (!g->capable)
		return;
	put_value(g, R2);
	put_map(g, R1, QUEUE);
	put_mov(g->c, R3, 0);
	put_call(g->c, PICK(g->rng, helpers));
	clobbered_by_call(g);
}

static void st_kernel_variable(struct gen *g)
{
	u8 reg = R1 + below(g->rng, 5);

	/* Refused without a look at the rest. */
	if (!has_memory(g->c->loader) && !percent(g->rng, 10))
		return;
	put_imm64(g->c, reg, PSEUDO_BTF_ID, KERNEL_VARIABLE, 0);
	g->reg[reg] = NOTHING;
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

static void generate_flaw(struct gen *g);

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
