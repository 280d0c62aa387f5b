/* SPDX-License-Identifier: GPL-2.0 */
/* Becoming each kind of loader, and what the kernel's settings allow it. */
#ifndef FUZZ_LOADERS_H
#define FUZZ_LOADERS_H

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>

#include "case.h"

#define NOBODY_ID		65534
#define CAPABILITY_PERFMON	38
#define CAPABILITY_BPF		39

#define YAMA_SCOPE		"/proc/sys/kernel/yama/ptrace_scope"
#define UNPRIVILEGED_DISABLED	"/proc/sys/kernel/unprivileged_bpf_disabled"

/* As found and set at the start. No Yama: a scope of -1. */
static int yama_scope = -1;
static int unprivileged_disabled;

static bool write_file(const char *path, const char *content)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool good = fd >= 0 && write(fd, content, strlen(content)) == (ssize_t)strlen(content);

	if (fd >= 0)
		close(fd);
	return good;
}

static int read_setting(const char *path)
{
	char content[16] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	if (read(fd, content, sizeof(content) - 1) < 0)
		content[0] = 0;
	close(fd);
	return atoi(content);
}

static void set_scope(int scope)
{
	char number[16];

	if (yama_scope < 0 || yama_scope == 3 || yama_scope == scope)
		return;
	snprintf(number, sizeof(number), "%d", scope);
	if (write_file(YAMA_SCOPE, number))
		yama_scope = scope;
}

static void read_settings(void)
{
	yama_scope = read_setting(YAMA_SCOPE);
	write_file(UNPRIVILEGED_DISABLED, "0");
	unprivileged_disabled = read_setting(UNPRIVILEGED_DISABLED);
}

static bool has_bpf(enum loader loader)
{
	return loader != USER && loader != USERNS;
}

/* CAP_SYS_ADMIN in its own user namespace: may install without no_new_privs. */
static bool may_install(enum loader loader)
{
	return loader == ROOT || loader == USERNS;
}

/* Is this loader denied state, in a block with this scope? (With FLIP: nobody can say.) */
static bool denied_state(enum loader loader, int scope)
{
	if (yama_scope < 0)
		return false;
	if (yama_scope == 3)
		return true;
	return scope == SCOPE_DENY && (loader == USER || loader == BPF_ONLY || loader == PERFMON);
}

static bool set_capabilities(u64 mask)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = {
		{ (u32)mask, (u32)mask, 0 },
		{ mask >> 32, mask >> 32, 0 },
	};

	return !syscall(SYS_capset, &header, data);
}

static bool become_user(u64 mask)
{
	prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
	if (setgroups(0, NULL) || setresgid(NOBODY_ID, NOBODY_ID, NOBODY_ID) ||
	    setresuid(NOBODY_ID, NOBODY_ID, NOBODY_ID) || !set_capabilities(mask))
		return false;
	/* setresuid() makes a task undumpable; a user's own shell is not. */
	return !prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static bool enter_user_namespace(void)
{
	char map[32];

	snprintf(map, sizeof(map), "0 %d 1", NOBODY_ID);
	return !unshare(CLONE_NEWUSER) && write_file("/proc/self/setgroups", "deny") &&
	       write_file("/proc/self/uid_map", map) && write_file("/proc/self/gid_map", map);
}

static bool become(enum loader loader)
{
	static const u64 bpf = 1ULL << CAPABILITY_BPF, perfmon = 1ULL << CAPABILITY_PERFMON;

	switch (loader) {
	case USER:
		return become_user(0);
	case BPF_ONLY:
		return become_user(bpf);
	case PERFMON:
		return become_user(bpf | perfmon);
	case PTRACE:
		return become_user(bpf | perfmon | 1ULL << CAP_SYS_PTRACE);
	case USERNS:
		return become_user(0) && enter_user_namespace();
	default:
		return true;
	}
}

#endif
