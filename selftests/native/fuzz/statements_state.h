/* SPDX-License-Identifier: GPL-2.0-only */
/* Statements with state: maps, helpers, kernel variables. They keep to the rules, too. */
#ifndef FUZZ_STATEMENTS_STATE_H
#define FUZZ_STATEMENTS_STATE_H

#include "gen.h"

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

#endif
