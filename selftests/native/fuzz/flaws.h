/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Each a way to break a rule of the verifier, put where a statement would be, and
 * what is done to whole programs: bits that flip, and bytes without any sense.
 */
#ifndef FUZZ_FLAWS_H
#define FUZZ_FLAWS_H

#include "generate.h"

/* --- registers and memory --------------------------------------------------------------- */

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

/* --- state ------------------------------------------------------------------------------ */

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

static void (*const flaws[])(struct gen *g) = {
	fl_uninitialised_register, fl_uninitialised_stack, fl_stack_out_of_bounds,
	fl_stack_misaligned, fl_stack_variable, fl_write_frame_pointer, fl_context_out_of_bounds,
	fl_context_misaligned, fl_context_write, fl_context_moved, fl_pointer_arithmetic,
	fl_pointers_added, fl_pointer_returned, fl_pointer_compared, fl_number_followed,
	fl_partial_spill, fl_atomic_elsewhere, fl_atomic_unknown, fl_jump_away, fl_jump_into_wide,
	fl_unreachable, fl_endless, fl_long_jump, fl_no_exit, fl_indirect_jump, fl_early_exit,
	fl_call_away, fl_recursion, fl_call_nearby, fl_deep_stack, fl_unknown_opcode,
	fl_reserved_field, fl_register_number, fl_division_by_zero, fl_wide_shift, fl_half_of_wide,
	fl_byte_swap, fl_sign_extension, fl_packet_load, fl_address_space, fl_no_such_map,
	fl_pseudo_unknown, fl_map_value_away, fl_null_followed, fl_value_out_of_bounds,
	fl_value_unbounded, fl_frozen_written, fl_map_field, fl_pointer_into_map, fl_any_helper,
	fl_any_helper, fl_any_helper, fl_kernel_function, fl_btf_id, fl_reference_kept,
	fl_submitted_twice, fl_wrong_size, fl_kernel_read, fl_task_followed, fl_callback,
};

static void generate_flaw(struct gen *g)
{
	PICK(g->rng, flaws)(g);
}

/* --- whole programs --------------------------------------------------------------------- */

/*
 * The only flag that is left out is BPF_F_TEST_REG_INVARIANTS (1 << 7): with it
 * EFAULT is an answer to expect.
 */
static void spoil_request(struct rng *rng, struct fuzz_case *c)
{
	static const u32 prog_flags[] = { 1, 2, 3, 4, 8, 16, 32, 64, 1U << 9, 1U << 20, 1U << 16 };

	switch (below(rng, 4)) {
	case 0:
	case 1:
		c->prog_flags = PICK(rng, prog_flags);
		break;
	case 2:
		c->gpl = false;
		break;
	default:
		c->attach_type = 1 + below(rng, 60);
	}
}

static void mutate(struct rng *rng, struct fuzz_case *c)
{
	u32 times = 1 + below(rng, percent(rng, 70) ? 2 : 8);

	while (times--) {
		u32 i = below(rng, c->n_insns), j = below(rng, c->n_insns);
		u8 *byte = (u8 *)&c->insns[i] + below(rng, 8);
		struct bpf_insn swapped;

		switch (below(rng, 6)) {
		case 0:
		case 1:
			*byte ^= 1U << below(rng, 8);
			break;
		case 2:
			*byte = rng_next(rng);
			break;
		case 3:
			swapped = c->insns[i];
			c->insns[i] = c->insns[j];
			c->insns[j] = swapped;
			break;
		case 4:
			c->insns[i] = c->insns[j];
			break;
		default:
			if (c->n_insns > 2) {
				memmove(&c->insns[i], &c->insns[i + 1],
					(c->n_insns - i - 1) * sizeof(c->insns[0]));
				c->n_insns--;
			}
		}
	}
}

static void generate_raw(struct rng *rng, struct fuzz_case *c)
{
	static const u8 codes[] = {
		0xb7, 0xbf, 0x07, 0x0f, 0x61, 0x79, 0x63, 0x7b, 0x62, 0x15, 0x85, 0x95, 0xb4,
		0x04, 0xbc,
	};
	u32 count = 1 + below(rng, 16);

	while (count--) {
		u64 bits = rng_next(rng);

		put(c, 0, 0, 0, 0, 0);
		memcpy(&c->insns[c->n_insns - 1], &bits, 8);
		if (percent(rng, 90))
			c->insns[c->n_insns - 1].code = PICK(rng, codes);
		if (percent(rng, 85)) {
			c->insns[c->n_insns - 1].dst_reg = below(rng, 11);
			c->insns[c->n_insns - 1].src_reg = below(rng, 11);
			c->insns[c->n_insns - 1].off = (s16)below(rng, 4);
			c->insns[c->n_insns - 1].imm = below(rng, 300);
		}
	}
	put_mov(c, R0, 0);
	put_exit(c);
}

static void generate_environment(struct rng *rng, struct fuzz_case *c)
{
	static const u32 filter_flags[] = {
		0, 0, 0, SECCOMP_FILTER_FLAG_LOG, SECCOMP_FILTER_FLAG_SPEC_ALLOW,
		SECCOMP_FILTER_FLAG_TSYNC, SECCOMP_FILTER_FLAG_NEW_LISTENER,
		SECCOMP_FILTER_FLAG_NEW_LISTENER | FLAG_WAIT_KILLABLE,
		SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH | SECCOMP_FILTER_FLAG_NEW_LISTENER,
	};

	c->no_new_privs = !percent(rng, 5);
	c->drops = percent(rng, 15);
	c->filter_flags = PICK(rng, filter_flags);
	if (percent(rng, 30))
		c->beneath = 1 + below(rng, COMPANIONS - 1);
	if (percent(rng, 20))
		c->above = 1 + below(rng, COMPANIONS - 1);
	/* A task has one listener at most. */
	if (c->filter_flags & SECCOMP_FILTER_FLAG_NEW_LISTENER || c->beneath == NOTIFIER) {
		c->filter_flags &= ~(c->beneath == NOTIFIER ? SECCOMP_FILTER_FLAG_NEW_LISTENER |
				     SECCOMP_FILTER_FLAG_TSYNC_ESRCH | FLAG_WAIT_KILLABLE : 0);
		if (c->above == NOTIFIER)
			c->above = CLASSIC_ALLOW;
	}
}

/* Blocks of programs share what the whole system has one of: two sysctls. */
#define BLOCK	128

/* kernel.unprivileged_bpf_disabled: 2 can be changed again, 1 could not. */
static u32 disabled_of(u64 seed, u64 index)
{
	struct rng rng = rng_for(seed ^ 0xd15ab, index / BLOCK);

	return below(&rng, 5) ? 0 : 2;
}

static int scope_of(u64 seed, u64 index)
{
	struct rng rng = rng_for(seed ^ 0xb10c, index / BLOCK);

	switch (below(&rng, 8)) {
	case 0:
		return SCOPE_FLIP;
	case 1:
	case 2:
		return SCOPE_DENY;
	default:
		return SCOPE_OPEN;
	}
}

/* The program of an index: the same for the same seed, whenever and wherever. */
static void generate(struct fuzz_case *c, u64 seed, u64 index)
{
	static const enum loader loaders[] = {
		USER, USER, BPF_ONLY, BPF_ONLY, PERFMON, PTRACE, ROOT, USERNS, TOKEN, TOKEN,
		TOKEN_BARE, TOKEN_OTHER,
	};
	/* Strict alignment, random upper halves, more states: no answer changes. */
	static const u32 harmless[] = { 1, 4, 8, 1 | 4 };
	struct rng rng = rng_for(seed, index);
	struct pool pool = pool_for(&rng);
	u32 way = below(&rng, 100);

	memset(c, 0, offsetof(struct fuzz_case, insns));
	c->loader = PICK(&rng, loaders);
	c->scope = scope_of(seed, index);
	c->disabled = disabled_of(seed, index);
	c->gpl = true;
	c->style = rng_next(&rng);
	c->kind = way < 30 ? DIFFERENTIAL : way < 76 ? OPEN : way < 92 ? MUTATED : RAW;
	generate_environment(&rng, c);
	generate_calls(&rng, c, &pool);
	if ((c->kind == OPEN || c->kind == MUTATED) && percent(&rng, 8))
		c->fd_array_cnt = 1 + below(&rng, MAPS);
	if (c->kind == RAW) {
		generate_raw(&rng, c);
	} else if (c->kind == DIFFERENTIAL || (c->kind == MUTATED && percent(&rng, 30))) {
		generate_classic(&rng, c, &pool);
		translate(c);
	} else {
		generate_open(&rng, c, &pool, percent(&rng, 50) ? 0 : 1 + below(&rng, 2));
	}
	if (c->kind == MUTATED) {
		c->n_classic = 0;
		mutate(&rng, c);
	}
	if (c->kind == DIFFERENTIAL && percent(&rng, 25))
		c->prog_flags = PICK(&rng, harmless);
	else if (c->kind != DIFFERENTIAL && percent(&rng, 6))
		spoil_request(&rng, c);
}

#endif
