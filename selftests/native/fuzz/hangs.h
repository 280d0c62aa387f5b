/* SPDX-License-Identifier: GPL-2.0-only */
/* Cases that are not loaded, since the base does not come back from them. */
#ifndef FUZZ_HANGS_H
#define FUZZ_HANGS_H

#include "insn.h"

#define MAX_STARTS	24	/* functions of a program that are told apart */

static bool refers_to_function(const struct bpf_insn *insn)
{
	return (insn->code == (BPF_JMP | BPF_CALL) && insn->src_reg == PSEUDO_CALL) ||
	       (insn->code == (BPF_LD | BPF_IMM | BPF_DW) && insn->src_reg == PSEUDO_FUNC);
}

/*
 * 7.3 has an endless loop in check_max_stack_depth_subprog(), whatever the program
 * type: a call that goes round in code that is never reached is not refused as
 * recursion, since sort_subprogs_topo() comes after dead branches were pruned; then
 * stack frames are added up, and when they are more than 512 bytes, the callers are
 * counted along a chain that has no end. No signal ends that, and the CPU is lost.
 * With eight frames of 64 bytes the number of frames is refused first.
 */
static u32 stack_use(const struct fuzz_case *c)
{
	s32 load = 0, pointer = 0;

	for (u32 i = 0; i < c->n_insns; i++) {
		const struct bpf_insn *insn = &c->insns[i];
		u8 class = BPF_CLASS(insn->code);

		if (insn->code == (BPF_LD | BPF_IMM | BPF_DW)) {
			i++;
		} else if (class == BPF_LDX || class == BPF_ST || class == BPF_STX) {
			if (insn->off < load)
				load = insn->off;
		} else if (insn->code == ALU64_K(BPF_ADD)) {
			if (insn->imm < pointer)
				pointer = insn->imm < -512 ? -512 : insn->imm;
		} else if (class == BPF_ALU64 && BPF_OP(insn->code) <= BPF_SUB) {
			pointer = -512;
		}
	}
	return -load - pointer;
}

/* Whether a function, main among them, can come to call itself, in code that is reached or not. */
static bool calls_itself(const struct fuzz_case *c)
{
	static bool leads[MAX_STARTS][MAX_STARTS];
	u32 starts[MAX_STARTS] = { 0 }, count = 1;

	for (u32 i = 0; i < c->n_insns; i++) {
		u32 target = i + 1 + c->insns[i].imm, known = 0;

		if (!refers_to_function(&c->insns[i]) || target >= c->n_insns)
			continue;
		while (known < count && starts[known] != target)
			known++;
		if (known == MAX_STARTS)
			return true;
		if (known == count)
			starts[count++] = target;
	}
	memset(leads, 0, sizeof(leads));
	for (u32 i = 0; i < c->n_insns; i++) {
		u32 target = i + 1 + c->insns[i].imm, from = 0, to = 0;

		if (!refers_to_function(&c->insns[i]) || target >= c->n_insns)
			continue;
		for (u32 k = 0; k < count; k++) {
			if (starts[k] <= i && starts[k] >= starts[from])
				from = k;
			if (starts[k] == target)
				to = k;
		}
		leads[from][to] = true;
	}
	for (u32 via = 0; via < count; via++)
		for (u32 from = 0; from < count; from++)
			for (u32 to = 0; to < count; to++)
				leads[from][to] |= leads[from][via] && leads[via][to];
	for (u32 k = 0; k < count; k++)
		if (leads[k][k])
			return true;
	return false;
}

/* The callers are gone through for these too, whatever the stack. */
static bool looks_at_callers(const struct fuzz_case *c)
{
	for (u32 i = 0; i < c->n_insns; i++) {
		const struct bpf_insn *insn = &c->insns[i];
		u8 mode = BPF_MODE(insn->code);

		if (insn->code == (BPF_JMP | BPF_CALL) && insn->imm == BPF_FUNC_tail_call)
			return true;
		if (BPF_CLASS(insn->code) == BPF_LD && (mode == BPF_ABS || mode == BPF_IND))
			return true;
	}
	return false;
}

static bool hangs_the_base(const struct fuzz_case *c)
{
	return (stack_use(c) > 64 || looks_at_callers(c)) && calls_itself(c);
}

#endif
