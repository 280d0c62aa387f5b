/* SPDX-License-Identifier: GPL-2.0-only */
/* Flaws of state: maps, helpers, kernel functions and variables. */
#ifndef FUZZ_FLAWS_STATE_H
#define FUZZ_FLAWS_STATE_H

#include "gen.h"

static void fl_no_such_map(struct gen *g)
{
	static const s32 fds[] = { NO_FD, -1, 0, 2, 0x7fffffff };

	put_imm64(g->c, R1, PSEUDO_MAP_FD, PICK(g->rng, fds), 0);
}

static void fl_pseudo_unknown(struct gen *g)
{
	put_imm64(g->c, R1, 5 + below(g->rng, 11), MAP_FD(ARRAY), 0);
}

static void fl_map_value_away(struct gen *g)
{
	static const enum map maps[] = { DATA, DATA, ARRAY, HASH };

	put_imm64(g->c, R1, PSEUDO_MAP_VALUE, MAP_FD(PICK(g->rng, maps)),
		  DATA_VALUE_SIZE + below(g->rng, 100));
}

static void fl_null_followed(struct gen *g)
{
	put_key(g, R2, 4);
	put_map(g, R1, HASH);
	put_call(g->c, BPF_FUNC_map_lookup_elem);
	put_load(g->c, 8, R0, R0, 0);
	clobbered_by_call(g);
}

static void fl_value_out_of_bounds(struct gen *g)
{
	static const s16 offs[] = { MAP_VALUE_SIZE, -2000, MAP_VALUE_SIZE - 4, 4000 };

	put_imm64(g->c, R1, PSEUDO_MAP_VALUE, MAP_FD(DATA), DATA_VALUE_SIZE - MAP_VALUE_SIZE);
	put_load(g->c, 8, R0, R1, PICK(g->rng, offs));
	g->reg[R0] = NUMBER;
	g->reg[R1] = NOTHING;
}

static void fl_value_unbounded(struct gen *g)
{
	u8 index = a_number(g), reg = index == R1 ? R2 : R1;

	if (percent(g->rng, 50))
		put(g->c, ALU64_K(BPF_AND), index, 0, 0, 0xfffff);
	put_imm64(g->c, reg, PSEUDO_MAP_VALUE, MAP_FD(DATA), 0);
	put(g->c, ALU64_X(BPF_ADD), reg, index, 0, 0);
	put_load(g->c, 1, reg, reg, 0);
	g->reg[reg] = NUMBER;
}

static void fl_frozen_written(struct gen *g)
{
	put_imm64(g->c, R1, PSEUDO_MAP_VALUE, MAP_FD(FROZEN), 0);
	put_store_imm(g->c, 8, R1, 0, 1);
	g->reg[R1] = NOTHING;
}

static void fl_map_field(struct gen *g)
{
	put_map(g, R1, ARRAY);
	if (percent(g->rng, 50))
		put_load(g->c, 4, R0, R1, below(g->rng, 40));
	else
		put_store_imm(g->c, 8, R1, 0, 1);
	g->reg[R0] = NUMBER;
	g->reg[R1] = NOTHING;
}

static void fl_pointer_into_map(struct gen *g)
{
	put_imm64(g->c, R1, PSEUDO_MAP_VALUE, MAP_FD(DATA), 0);
	put_store(g->c, 8, R1, 0, percent(g->rng, 50) ? R6 : R10);
	g->reg[R1] = NOTHING;
}

static void fl_any_helper(struct gen *g)
{
	for (u8 reg = R1; reg <= R5; reg++)
		switch (below(g->rng, 5)) {
		case 0:
			put_map(g, reg, below(g->rng, MAPS));
			break;
		case 1:
			put_mov_reg(g->c, reg, R6);
			break;
		case 2:
			put_mov_reg(g->c, reg, R10);
			put(g->c, ALU64_K(BPF_ADD), reg, 0, 0, slot_off(written_slot(g)));
			break;
		case 3:
			put_mov(g->c, reg, 8);
			break;
		default:
			put_mov(g->c, reg, pooled(g->rng, g->pool));
		}
	put_call(g->c, percent(g->rng, 90) ? below(g->rng, 215) : pooled(g->rng, g->pool));
	clobbered_by_call(g);
}

static void fl_kernel_function(struct gen *g)
{
	put(g->c, BPF_JMP | BPF_CALL, 0, PSEUDO_KFUNC_CALL, percent(g->rng, 90) ? 0 : 1,
	    percent(g->rng, 70) ? KERNEL_FUNCTION : (s32)below(g->rng, 100000));
	clobbered_by_call(g);
}

static void fl_btf_id(struct gen *g)
{
	put_imm64(g->c, R1, PSEUDO_BTF_ID,
		  percent(g->rng, 50) ? KERNEL_FUNCTION : (s32)below(g->rng, 100000), 0);
	g->reg[R1] = NOTHING;
}

static void fl_reference_kept(struct gen *g)
{
	put_map(g, R1, RING);
	put_mov(g->c, R2, 16);
	put_mov(g->c, R3, 0);
	put_call(g->c, BPF_FUNC_ringbuf_reserve);
	clobbered_by_call(g);
}

static void fl_submitted_twice(struct gen *g)
{
	fl_reference_kept(g);
	put(g->c, BPF_JMP | BPF_JEQ | BPF_K, R0, 0, 7, 0);
	put_mov_reg(g->c, R7, R0);
	for (int i = 0; i < 2; i++) {
		put_mov_reg(g->c, R1, R7);
		put_mov(g->c, R2, 0);
		put_call(g->c, BPF_FUNC_ringbuf_submit);
	}
	g->reg[R7] = NOTHING;
	g->reg[R0] = NOTHING;
}

static void fl_wrong_size(struct gen *g)
{
	put_mov_reg(g->c, R1, R10);
	put(g->c, ALU64_K(BPF_ADD), R1, 0, 0, -16);
	if (percent(g->rng, 50))
		put_mov(g->c, R2, percent(g->rng, 50) ? 17 : -1);
	else
		put_mov_reg(g->c, R2, a_number(g));
	put_mov(g->c, R3, 0);
	put_call(g->c, BPF_FUNC_probe_read_user);
	clobbered_by_call(g);
}

static void fl_kernel_read(struct gen *g)
{
	put_mov_reg(g->c, R1, R10);
	put(g->c, ALU64_K(BPF_ADD), R1, 0, 0, -16);
	put_mov(g->c, R2, 16);
	put_mov(g->c, R3, 0);
	put_call(g->c, percent(g->rng, 50) ? BPF_FUNC_probe_read_kernel : BPF_FUNC_probe_read);
	clobbered_by_call(g);
}

static void fl_task_followed(struct gen *g)
{
	put_call(g->c, BPF_FUNC_get_current_task_btf);
	put_load(g->c, 8, R0, R0, 8 * below(g->rng, 300));
	clobbered_by_call(g);
}

static void fl_callback(struct gen *g)
{
	put_mov(g->c, R1, 3);
	put_imm64(g->c, R2, PSEUDO_FUNC, percent(g->rng, 70) ? 5 : 4000, 0);
	put_mov(g->c, R3, 0);
	put_mov(g->c, R4, 0);
	put_call(g->c, BPF_FUNC_loop);
	clobbered_by_call(g);
}

#endif
