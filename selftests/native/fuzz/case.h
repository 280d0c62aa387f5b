/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A case: one program, who loads it, what stands beside it, and which system
 * calls are made under it. The same thing is generated, written as JSON into a
 * finding, and read back from lines of text.
 */
#ifndef FUZZ_CASE_H
#define FUZZ_CASE_H

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernel.h"

#define MAX_INSNS	5000
#define MAX_CLASSIC	96
#define MAX_CALLS	20

enum kind { DIFFERENTIAL, OPEN, MUTATED, RAW, KINDS };
static const char *const kind_names[KINDS] = { "differential", "open", "mutated", "raw" };

/*
 * Those with a token are root of a user namespace, with all capabilities in it but
 * for TOKEN_BARE, who has just CAP_BPF and CAP_PERFMON there. TOKEN_OTHER's token is
 * for programs of another type.
 */
enum loader {
	USER, BPF_ONLY, PERFMON, PTRACE, ROOT, USERNS, TOKEN, TOKEN_BARE, TOKEN_OTHER, LOADERS
};
static const char *const loader_names[LOADERS] = {
	"user", "bpf", "perfmon", "ptrace", "root", "userns", "token", "token-bare", "token-other",
};

/* Yama's ptrace_scope: 1 and 2 are themselves; it changes all the time with FLIP. */
enum { SCOPE_OPEN = 1, SCOPE_DENY = 2, SCOPE_FLIP = 9 };

/* What else is installed, below or above the program. */
enum companion { NOBODY, CLASSIC_ALLOW, CLASSIC_ERRNO, NOTIFIER, EXTENDED_ALLOW, COMPANIONS };
static const char *const companion_names[COMPANIONS] = {
	"nobody", "classic_allow", "classic_errno", "notifier", "extended_allow",
};

struct call {
	s64 nr;
	u64 args[6];
};

/* Not a number of any system call: a child process with calls of its own. */
#define CALL_FORK	(-2)

struct fuzz_case {
	enum kind kind;
	enum loader loader;
	int scope;
	u64 style;		/* how the classic program is written in eBPF */
	u32 prog_flags;
	u32 attach_type;
	u32 fd_array_cnt;	/* maps that are given with the load, whether it names them or not */
	bool gpl;
	bool no_new_privs;
	u32 disabled;		/* kernel.unprivileged_bpf_disabled */
	bool drops;		/* the child gives up all capabilities before it installs */
	u32 filter_flags;
	enum companion beneath, above;
	u32 n_insns, n_classic, n_calls;
	struct bpf_insn insns[MAX_INSNS];
	struct sock_filter classic[MAX_CLASSIC];
	struct call calls[MAX_CALLS];
};

/* JSON is built in one buffer and written with one write(2). */
struct text {
	char *data;
	size_t used, size;
};

static void add(struct text *text, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	text->used += vsnprintf(text->data + text->used, text->size - text->used, format, arguments);
	va_end(arguments);
	if (text->used >= text->size)
		text->used = text->size - 1;
}

static void add_string(struct text *text, const char *string)
{
	add(text, "\"");
	for (; *string; string++) {
		unsigned char c = *string;

		if (c == '"' || c == '\\')
			add(text, "\\%c", c);
		else if (c < ' ' || c > '~')
			add(text, "\\u%04x", c);
		else
			add(text, "%c", c);
	}
	add(text, "\"");
}

/* An instruction is its eight bytes, in hex, in the order of memory. */
static void add_insns(struct text *text, const struct fuzz_case *c)
{
	add(text, "[");
	for (u32 i = 0; i < c->n_insns; i++) {
		const u8 *bytes = (const u8 *)&c->insns[i];

		add(text, i ? ",\"" : "\"");
		for (int b = 0; b < 8; b++)
			add(text, "%02x", bytes[b]);
		add(text, "\"");
	}
	add(text, "]");
}

static void add_case(struct text *text, const struct fuzz_case *c)
{
	add(text, "{\"kind\":\"%s\",\"loader\":\"%s\",\"scope\":%d,\"style\":\"%" PRIu64 "\"",
	    kind_names[c->kind], loader_names[c->loader], c->scope, c->style);
	add(text, ",\"prog_flags\":%u,\"attach_type\":%u,\"gpl\":%d,\"no_new_privs\":%d",
	    c->prog_flags, c->attach_type, c->gpl, c->no_new_privs);
	add(text, ",\"fd_array_cnt\":%u,\"unprivileged_bpf_disabled\":%u,\"drops_capabilities\":%d",
	    c->fd_array_cnt, c->disabled, c->drops);
	add(text, ",\"filter_flags\":%u,\"beneath\":\"%s\",\"above\":\"%s\",\"insn\":",
	    c->filter_flags, companion_names[c->beneath], companion_names[c->above]);
	add_insns(text, c);
	add(text, ",\"classic\":[");
	for (u32 i = 0; i < c->n_classic; i++) {
		const struct sock_filter *f = &c->classic[i];

		add(text, "%s\"%04x %u %u %08x\"", i ? "," : "", f->code, f->jt, f->jf, f->k);
	}
	add(text, "],\"call\":[");
	for (u32 i = 0; i < c->n_calls; i++) {
		const struct call *call = &c->calls[i];

		add(text, "%s\"%" PRId64, i ? "," : "", call->nr);
		for (int a = 0; a < 6; a++)
			add(text, " %" PRIx64, call->args[a]);
		add(text, "\"");
	}
	add(text, "]}");
}

/* Reading: lines "key value", ended by a line "end". */

static void bad_line(const char *line)
{
	fprintf(stderr, "fuzz: not a line of a case: %s\n", line);
	exit(2);
}

static int named(const char *line, const char *value, const char *const *names, int count)
{
	for (int i = 0; i < count; i++)
		if (!strcmp(value, names[i]))
			return i;
	bad_line(line);
	return -1;
}

static void read_insn(struct fuzz_case *c, const char *line, const char *value)
{
	u8 *bytes = (u8 *)&c->insns[c->n_insns];

	if (c->n_insns == MAX_INSNS || strlen(value) != 16)
		bad_line(line);
	for (int b = 0; b < 8; b++) {
		unsigned int byte;

		if (sscanf(value + 2 * b, "%2x", &byte) != 1)
			bad_line(line);
		bytes[b] = byte;
	}
	c->n_insns++;
}

static void read_classic(struct fuzz_case *c, const char *line, const char *value)
{
	unsigned int code, jt, jf, k;

	if (c->n_classic == MAX_CLASSIC || sscanf(value, "%x %u %u %x", &code, &jt, &jf, &k) != 4)
		bad_line(line);
	c->classic[c->n_classic++] = (struct sock_filter){ code, jt, jf, k };
}

static void read_call(struct fuzz_case *c, const char *line, const char *value)
{
	struct call *call = &c->calls[c->n_calls];

	if (c->n_calls == MAX_CALLS ||
	    sscanf(value,
		   "%" SCNd64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64,
		   &call->nr, &call->args[0], &call->args[1], &call->args[2], &call->args[3],
		   &call->args[4], &call->args[5]) != 7)
		bad_line(line);
	c->n_calls++;
}

static void read_number(struct fuzz_case *c, const char *line, const char *key, const char *value)
{
	u64 number = strtoull(value, NULL, 10);

	if (!strcmp(key, "scope"))
		c->scope = number;
	else if (!strcmp(key, "style"))
		c->style = number;
	else if (!strcmp(key, "prog_flags"))
		c->prog_flags = number;
	else if (!strcmp(key, "attach_type"))
		c->attach_type = number;
	else if (!strcmp(key, "gpl"))
		c->gpl = number;
	else if (!strcmp(key, "no_new_privs"))
		c->no_new_privs = number;
	else if (!strcmp(key, "fd_array_cnt"))
		c->fd_array_cnt = number;
	else if (!strcmp(key, "unprivileged_bpf_disabled"))
		c->disabled = number;
	else if (!strcmp(key, "drops_capabilities"))
		c->drops = number;
	else if (!strcmp(key, "filter_flags"))
		c->filter_flags = number;
	else
		bad_line(line);
}

/* The next case of a file; false at its end. Ends the process on anything malformed. */
static bool read_case(FILE *file, struct fuzz_case *c)
{
	static char line[256], copy[256];
	bool any = false;

	memset(c, 0, sizeof(*c));
	c->scope = SCOPE_OPEN;
	c->gpl = c->no_new_privs = true;
	while (fgets(line, sizeof(line), file)) {
		char *key = line, *value;

		line[strcspn(line, "\n")] = 0;
		strcpy(copy, line);
		if (!strcmp(line, "end"))
			return true;
		any = true;
		value = strchr(line, ' ');
		if (!value)
			bad_line(copy);
		*value++ = 0;
		if (!strcmp(key, "kind"))
			c->kind = named(copy, value, kind_names, KINDS);
		else if (!strcmp(key, "loader"))
			c->loader = named(copy, value, loader_names, LOADERS);
		else if (!strcmp(key, "beneath"))
			c->beneath = named(copy, value, companion_names, COMPANIONS);
		else if (!strcmp(key, "above"))
			c->above = named(copy, value, companion_names, COMPANIONS);
		else if (!strcmp(key, "insn"))
			read_insn(c, copy, value);
		else if (!strcmp(key, "classic"))
			read_classic(c, copy, value);
		else if (!strcmp(key, "call"))
			read_call(c, copy, value);
		else
			read_number(c, copy, key, value);
	}
	if (any)
		bad_line("(no \"end\")");
	return false;
}

#endif
