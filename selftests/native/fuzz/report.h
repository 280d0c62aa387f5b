/* SPDX-License-Identifier: GPL-2.0-only */
/* What is counted, in memory that all processes share, and how it is told. */
#ifndef FUZZ_REPORT_H
#define FUZZ_REPORT_H

#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>

#include "case.h"

#define MAX_OUTCOMES	2048
#define OUTCOME_SIZE	120

struct outcome {
	char text[OUTCOME_SIZE];
	u64 count, first;
};

struct shared {
	atomic_ulong next, end;		/* indexes of the block that is being done */
	atomic_ulong compared, children, calls, notified, findings;
	atomic_ulong without_token;	/* loads once more, without another type's token */
	atomic_ulong inspected, named;	/* programs looked into; helpers recognised there */
	atomic_ulong by_loader[LOADERS][2];	/* loaded, accepted */
	atomic_flag lock;
	u32 n_outcomes;
	struct outcome outcomes[MAX_OUTCOMES];
};

static struct shared *shared;

static int events = 1;		/* descriptors */
static int kernel_log = -1;

static char text_buffer[1 << 19];
static struct text text = { text_buffer, 0, sizeof(text_buffer) };

static void begin_event(const char *event)
{
	text.used = 0;
	add(&text, "{\"event\":\"%s\"", event);
}

static void end_event(void)
{
	size_t done = 0;

	add(&text, "}\n");
	while (done < text.used) {
		ssize_t wrote = write(events, text.data + done, text.used - done);

		if (wrote <= 0)
			break;
		done += wrote;
	}
}

/* A line on the console: what a splat that follows belongs to. */
static void mark(const char *format, ...)
{
	char line[160];
	va_list arguments;
	int used = snprintf(line, sizeof(line), "seccomp-lab: start fuzz ");

	if (kernel_log < 0)
		return;
	va_start(arguments, format);
	used += vsnprintf(line + used, sizeof(line) - used, format, arguments);
	va_end(arguments);
	if (write(kernel_log, line, used) < 0)
		kernel_log = -1;
}

/* --- outcomes --------------------------------------------------------------------------- */

/* Lines behind the reason: statistics, and a hint that each refused program gets from the series. */
static bool is_statistic(const char *line)
{
	static const char *const starts[] = {
		"old state: ", "cur state: ", "verification time", "stack depth", "processed ",
		"insns processed ", "subprog ",
		"CAP_PERFMON gives this program no kernel memory",
	};

	for (u32 i = 0; i < ARRAY_SIZE(starts); i++)
		if (!strncmp(line, starts[i], strlen(starts[i])))
			return true;
	return false;
}

/* The line of a verifier log that says why: the last one that is none of these. */
static void find_reason(char *log, char *reason, size_t size)
{
	char *line, *rest = log;

	reason[0] = 0;
	while ((line = strsep(&rest, "\n")))
		if (*line && !is_statistic(line))
			snprintf(reason, size, "%s", line);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f');
}

/* Numbers away, so that what is said for the same reason is the same text. */
static void normalise(const char *from, char *to, size_t size)
{
	size_t used = 0;

	while (*from && used + 2 < size) {
		if (is_digit(*from) || (*from == '-' && is_digit(from[1]))) {
			to[used++] = '#';
			from++;
			if (*from == 'x')
				from++;
			while (is_hex(*from))
				from++;
		} else {
			to[used++] = *from++;
		}
	}
	to[used] = 0;
}

static const char *error_name(int code)
{
	static char number[24];
	static const struct { int code; const char *name; } names[] = {
		{ EPERM, "EPERM" }, { ENOENT, "ENOENT" }, { E2BIG, "E2BIG" }, { EBADF, "EBADF" },
		{ EAGAIN, "EAGAIN" }, { ENOMEM, "ENOMEM" }, { EACCES, "EACCES" },
		{ EFAULT, "EFAULT" }, { EBUSY, "EBUSY" }, { EINVAL, "EINVAL" },
		{ ENOSPC, "ENOSPC" }, { ERANGE, "ERANGE" }, { EOPNOTSUPP, "EOPNOTSUPP" },
		{ ESRCH, "ESRCH" }, { EINTR, "EINTR" }, { ELOOP, "ELOOP" }, { EPROTO, "EPROTO" },
		{ EDEADLK, "EDEADLK" }, { EEXIST, "EEXIST" }, { ENODEV, "ENODEV" },
		{ 524, "ENOTSUPP" },
	};

	for (u32 i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].code == code)
			return names[i].name;
	snprintf(number, sizeof(number), "errno %d", code);
	return number;
}

static void count_outcome(int code, const char *reason, u64 index)
{
	char key[OUTCOME_SIZE];
	struct outcome *outcome;
	u32 i;

	if (!code) {
		strcpy(key, "accepted");
	} else {
		int used = snprintf(key, sizeof(key), "%s: ", error_name(code));

		normalise(reason, key + used, sizeof(key) - used);
	}
	while (atomic_flag_test_and_set(&shared->lock))
		sched_yield();
	for (i = 0; i < shared->n_outcomes; i++)
		if (!strcmp(shared->outcomes[i].text, key))
			break;
	outcome = &shared->outcomes[i < MAX_OUTCOMES ? i : MAX_OUTCOMES - 1];
	if (i == shared->n_outcomes && i < MAX_OUTCOMES) {
		strcpy(outcome->text, key);
		outcome->first = index;
		shared->n_outcomes++;
	}
	outcome->count++;
	atomic_flag_clear(&shared->lock);
}

static void tell_outcomes(void)
{
	begin_event("outcomes");
	add(&text, ",\"counts\":[");
	for (u32 i = 0; i < shared->n_outcomes; i++) {
		add(&text, i ? ",[" : "[");
		add_string(&text, shared->outcomes[i].text);
		add(&text, ",%" PRIu64 ",%" PRIu64 "]", shared->outcomes[i].count,
		    shared->outcomes[i].first);
	}
	add(&text, "],\"compared\":%lu,\"children\":%lu,\"calls\":%lu,\"notified\":%lu",
	    shared->compared, shared->children, shared->calls, shared->notified);
	add(&text, ",\"without_token\":%lu,\"inspected\":%lu,\"named\":%lu,\"loaders\":{",
	    shared->without_token, shared->inspected, shared->named);
	for (u32 i = 0; i < LOADERS; i++)
		add(&text, "%s\"%s\":[%lu,%lu]", i ? "," : "", loader_names[i],
		    shared->by_loader[i][0], shared->by_loader[i][1]);
	add(&text, "}");
	end_event();
}

static void tell_finding(const struct fuzz_case *c, u64 index, const char *kind, const char *what)
{
	atomic_fetch_add(&shared->findings, 1);
	begin_event("finding");
	add(&text, ",\"index\":%" PRIu64 ",\"kind\":\"%s\",\"what\":", index, kind);
	add_string(&text, what);
	add(&text, ",\"case\":");
	add_case(&text, c);
	end_event();
}

#endif
