/* SPDX-License-Identifier: GPL-2.0-only */
/* eBPF instructions, appended to a case. */
#ifndef FUZZ_INSN_H
#define FUZZ_INSN_H

#include "case.h"

#define R0 0
#define R1 1
#define R2 2
#define R3 3
#define R4 4
#define R5 5
#define R6 6
#define R7 7
#define R8 8
#define R9 9
#define R10 10

/* Opcodes by their parts; BPF_JMP32 and the rest are of <linux/bpf.h>. */
#define ALU64_K(op)	(BPF_ALU64 | (op) | BPF_K)
#define ALU64_X(op)	(BPF_ALU64 | (op) | BPF_X)
#define ALU32_K(op)	(BPF_ALU | (op) | BPF_K)
#define ALU32_X(op)	(BPF_ALU | (op) | BPF_X)

static const u8 sizes[] = { BPF_B, BPF_H, BPF_W, BPF_DW };

static inline u8 size_code(int bytes)
{
	return bytes == 1 ? BPF_B : bytes == 2 ? BPF_H : bytes == 4 ? BPF_W : BPF_DW;
}

/* Appends; where there is no room left the program just stays as it is. Returns the place. */
static u32 put(struct fuzz_case *c, u8 code, u8 dst, u8 src, s16 off, s32 imm)
{
	if (c->n_insns == MAX_INSNS)
		return MAX_INSNS - 1;
	c->insns[c->n_insns] = (struct bpf_insn){
		.code = code, .dst_reg = dst, .src_reg = src, .off = off, .imm = imm,
	};
	return c->n_insns++;
}

static inline void put_mov(struct fuzz_case *c, u8 dst, s32 imm)
{
	put(c, ALU64_K(BPF_MOV), dst, 0, 0, imm);
}

static inline void put_mov_reg(struct fuzz_case *c, u8 dst, u8 src)
{
	put(c, ALU64_X(BPF_MOV), dst, src, 0, 0);
}

static inline void put_load(struct fuzz_case *c, int bytes, u8 dst, u8 src, s16 off)
{
	put(c, BPF_LDX | BPF_MEM | size_code(bytes), dst, src, off, 0);
}

static inline void put_store(struct fuzz_case *c, int bytes, u8 dst, s16 off, u8 src)
{
	put(c, BPF_STX | BPF_MEM | size_code(bytes), dst, src, off, 0);
}

static inline void put_store_imm(struct fuzz_case *c, int bytes, u8 dst, s16 off, s32 imm)
{
	put(c, BPF_ST | BPF_MEM | size_code(bytes), dst, 0, off, imm);
}

static inline void put_imm64(struct fuzz_case *c, u8 dst, u8 pseudo, u32 low, u32 high)
{
	put(c, BPF_LD | BPF_IMM | BPF_DW, dst, pseudo, 0, low);
	put(c, 0, 0, 0, 0, high);
}

static inline void put_call(struct fuzz_case *c, s32 helper)
{
	put(c, BPF_JMP | BPF_CALL, 0, 0, 0, helper);
}

static inline void put_exit(struct fuzz_case *c)
{
	put(c, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* A jump at ``from`` goes to the next instruction that is put. */
static inline void land(struct fuzz_case *c, u32 from)
{
	c->insns[from].off = c->n_insns - from - 1;
}

#endif
