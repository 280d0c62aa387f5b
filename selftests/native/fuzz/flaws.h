/* SPDX-License-Identifier: GPL-2.0-only */
/* Each a way to break a rule of the verifier, put where a statement would be. */
#ifndef FUZZ_FLAWS_H
#define FUZZ_FLAWS_H

#include "flaws_code.h"
#include "flaws_memory.h"
#include "flaws_state.h"

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

#endif
