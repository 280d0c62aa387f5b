/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The maps that programs name, at descriptors that never change, and the
 * kernel's variable and function that they name, by numbers that are replaced
 * by BTF ids when a program is loaded: what is generated is the same on every
 * kernel.
 */
#ifndef FUZZ_MAPS_H
#define FUZZ_MAPS_H

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "insn.h"

enum map { ARRAY, HASH, LRU, PERCPU, FROZEN, DATA, PROGS, RING, STORAGE, QUEUE, MAPS };

#define MAP_FD(map)	(200 + (int)(map))
#define NO_FD		199
#define MAP_VALUE_SIZE	64
#define DATA_VALUE_SIZE	1024

#define KERNEL_VARIABLE	0x5ec00001
#define KERNEL_FUNCTION	0x5ec00002

static u32 variable_id, function_id;

/* --- types ------------------------------------------------------------------------------ */

struct btf_header_ {
	u16 magic;
	u8 version, flags;
	u32 hdr_len, type_off, type_len, str_off, str_len;
};

struct btf_type_ {
	u32 name_off, info, size;
};

/* Bytes that follow a struct btf_type, by kind: Documentation/bpf/btf.rst. */
static u32 trailing(u32 kind, u32 vlen)
{
	switch (kind) {
	case 1: case 14: case 17:	/* INT, VAR, DECL_TAG */
		return 4;
	case 3:				/* ARRAY */
		return 12;
	case 4: case 5: case 15: case 19: /* STRUCT, UNION, DATASEC, ENUM64 */
		return 12 * vlen;
	case 6: case 13:		/* ENUM, FUNC_PROTO */
		return 8 * vlen;
	default:
		return 0;
	}
}

/* The ids of a variable and of a kfunc; 0 where the kernel has none. */
static void find_btf_ids(void)
{
	int fd = open("/sys/kernel/btf/vmlinux", O_RDONLY | O_CLOEXEC);
	struct stat st;
	const struct btf_header_ *header;
	const u8 *at, *end;
	const char *strings;

	if (fd < 0 || fstat(fd, &st))
		return;
	u8 *data = malloc(st.st_size);
	ssize_t have = 0, got;

	while (have < st.st_size && (got = read(fd, data + have, st.st_size - have)) > 0)
		have += got;
	close(fd);
	header = (void *)data;
	if (have < (ssize_t)sizeof(*header) || header->magic != 0xeb9f)
		return;
	at = data + header->hdr_len + header->type_off;
	end = at + header->type_len;
	strings = (char *)data + header->hdr_len + header->str_off;
	for (u32 id = 1; at < end; id++) {
		const struct btf_type_ *type = (void *)at;
		u32 kind = type->info >> 24 & 0x1f, vlen = type->info & 0xffff;

		if (kind == 14 && !strcmp(strings + type->name_off, "bpf_prog_active"))
			variable_id = id;
		if (kind == 12 && !strcmp(strings + type->name_off, "bpf_rcu_read_lock"))
			function_id = id;
		at += sizeof(*type) + trailing(kind, vlen);
	}
	free(data);
}

/* Two integer types: a key of four bytes and a value of eight, which task storage asks for. */
static int load_btf(int token)
{
	static const char names[] = "\0int\0long";
	struct {
		struct btf_header_ header;
		struct btf_type_ key;
		u32 key_bits;
		struct btf_type_ value;
		u32 value_bits;
		char names[sizeof(names)];
	} __attribute__((packed)) blob = {
		{ 0xeb9f, 1, 0, sizeof(struct btf_header_), 0, 32, 32, sizeof(names) },
		{ 1, 1U << 24, 4 }, 1U << 24 | 32,
		{ 5, 1U << 24, 8 }, 1U << 24 | 64,
		{ 0 },
	};
	struct {
		u64 btf, log;
		u32 size, log_size, log_level, log_true_size, flags;
		s32 token_fd;
	} attr = { .btf = (u64)(uintptr_t)&blob, .size = sizeof(blob) };

	if (token >= 0) {
		attr.flags = FLAG_TOKEN_FD;
		attr.token_fd = token;
	}

	memcpy(blob.names, names, sizeof(names));
	return bpf(18 /* BPF_BTF_LOAD */, &attr, sizeof(attr));
}

/* --- maps ------------------------------------------------------------------------------- */

static int map_token = -1;	/* what maps are made with, if not with capabilities */

static bool make_map(enum map map, struct map_attr attr)
{
	int fd;

	if (map_token >= 0) {
		attr.map_flags |= FLAG_TOKEN_FD;
		attr.map_token_fd = map_token;
	}
	fd = bpf(BPF_MAP_CREATE, &attr, sizeof(attr));
	if (fd < 0) {
		fprintf(stderr, "fuzz: map %d: %s\n", map, strerror(errno));
		return false;
	}
	if (fd != MAP_FD(map)) {
		dup2(fd, MAP_FD(map));
		close(fd);
	}
	return true;
}

/* Writes element 0 of a map. */
static void set_element(enum map map, const void *value)
{
	u32 key = 0;
	struct {
		u32 fd, pad;
		u64 key, value, flags;
	} attr = { MAP_FD(map), 0, (u64)(uintptr_t)&key, (u64)(uintptr_t)value, 0 };

	bpf(BPF_MAP_UPDATE_ELEM, &attr, sizeof(attr));
}

/*
 * All maps. Root makes them, and they are inherited by everybody; whoever has a
 * token makes others in their place with it. False if one is missing.
 */
static bool make_maps(int token)
{
	u32 fd = MAP_FD(FROZEN);
	int btf = load_btf(token);
	u64 value[MAP_VALUE_SIZE / 8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	bool all = true;

	map_token = token;

	all &= make_map(ARRAY, (struct map_attr){ BPF_MAP_TYPE_ARRAY, 4, MAP_VALUE_SIZE, 16 });
	all &= make_map(HASH, (struct map_attr){ BPF_MAP_TYPE_HASH, 8, MAP_VALUE_SIZE, 16 });
	all &= make_map(LRU, (struct map_attr){ BPF_MAP_TYPE_LRU_HASH, 8, MAP_VALUE_SIZE, 16 });
	all &= make_map(PERCPU, (struct map_attr){ BPF_MAP_TYPE_PERCPU_ARRAY, 4, MAP_VALUE_SIZE, 16 });
	all &= make_map(FROZEN, (struct map_attr){ BPF_MAP_TYPE_ARRAY, 4, MAP_VALUE_SIZE, 1,
						   .map_flags = 1U << 7 /* RDONLY_PROG */ });
	/* Values are named directly in arrays of one element only. */
	all &= make_map(DATA, (struct map_attr){ BPF_MAP_TYPE_ARRAY, 4, DATA_VALUE_SIZE, 1 });
	all &= make_map(PROGS, (struct map_attr){ BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 4 });
	all &= make_map(RING, (struct map_attr){ 27 /* RINGBUF */, 0, 0, 4096 });
	all &= make_map(STORAGE, (struct map_attr){ 29 /* TASK_STORAGE */, 4, 8, 0, .map_flags = 1,
						    .btf_fd = btf, .btf_key_type_id = 1,
						    .btf_value_type_id = 2 });
	all &= make_map(QUEUE, (struct map_attr){ BPF_MAP_TYPE_QUEUE, 0, MAP_VALUE_SIZE, 16 });
	set_element(FROZEN, value);
	bpf(22 /* BPF_MAP_FREEZE */, &fd, sizeof(fd));
	close(btf);
	return all;
}

/* Put the kernel's own numbers in the place of the symbolic ones. */
static void link_case(const struct fuzz_case *c, struct bpf_insn *out)
{
	memcpy(out, c->insns, c->n_insns * sizeof(*out));
	for (u32 i = 0; i < c->n_insns; i++) {
		if (out[i].imm == KERNEL_VARIABLE)
			out[i].imm = variable_id;
		else if (out[i].imm == KERNEL_FUNCTION)
			out[i].imm = function_id;
	}
}

#endif
