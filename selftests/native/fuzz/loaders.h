/* SPDX-License-Identifier: GPL-2.0-only */
/* Becoming each kind of loader, and what the kernel's settings allow it. */
#ifndef FUZZ_LOADERS_H
#define FUZZ_LOADERS_H

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

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

/* 1 stays for good, and then it is what counts. */
static void set_disabled(int disabled)
{
	write_file(UNPRIVILEGED_DISABLED, disabled ? "2" : "0");
	unprivileged_disabled = read_setting(UNPRIVILEGED_DISABLED);
}

static void read_settings(void)
{
	yama_scope = read_setting(YAMA_SCOPE);
	set_disabled(0);
}

/* Names a token with each load. */
static bool names_token(enum loader loader)
{
	return loader == TOKEN || loader == TOKEN_BARE || loader == TOKEN_OTHER;
}

/*
 * CAP_BPF, or a token for this program type. A token for another one is passed
 * over by bpf_prog_load(), as if it had not been named.
 */
static bool has_bpf(enum loader loader)
{
	return loader != USER && loader != USERNS && loader != TOKEN_OTHER;
}

/* CAP_SYS_PTRACE in the initial user namespace: kernel memory, and that of any task. */
static bool has_memory(enum loader loader)
{
	return loader == PTRACE || loader == ROOT;
}

/* CAP_SYS_ADMIN in its own user namespace: may install without no_new_privs. */
static bool may_install(enum loader loader)
{
	return loader == ROOT || loader == USERNS || loader == TOKEN || loader == TOKEN_OTHER;
}

/* CAP_SYS_PTRACE in its own user namespace: what Yama asks for. */
static bool may_trace(enum loader loader)
{
	return loader != USER && loader != BPF_ONLY && loader != PERFMON && loader != TOKEN_BARE;
}

/* Is this loader denied state, in a block with this scope? (With FLIP: nobody can say.) */
static bool denied_state(enum loader loader, int scope)
{
	return yama_scope == 3 || (yama_scope >= 0 && scope == SCOPE_DENY && !may_trace(loader));
}

/* And is who installs? */
static bool denied_installing(const struct fuzz_case *c)
{
	return c->drops ? denied_state(USER, c->scope) : denied_state(c->loader, c->scope);
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

/* --- tokens ----------------------------------------------------------------------------- */

/*
 * A token comes from a bpffs that belongs to the loader's user namespace and that
 * somebody with CAP_SYS_ADMIN in the initial one has configured: bpf_parse_param()
 * in kernel/bpf/inode.c. So it takes two processes.
 */

/* The same on all architectures: include/uapi/asm-generic/unistd.h */
#define NR_FSOPEN		430
#define NR_FSCONFIG		431
#define NR_FSMOUNT		432
#define SET_STRING		1	/* FSCONFIG_ */
#define CMD_CREATE		6

static int token_fd = -1;	/* of this process */

static bool send_fd(int channel, int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(fd))];
	} control = { .header = { CMSG_LEN(sizeof(fd)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec byte = { "", 1 };
	struct msghdr message = {
		.msg_iov = &byte, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};

	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	return fd >= 0 && sendmsg(channel, &message, 0) == 1;
}

/* -1 if the other side has gone, or has failed. */
static int receive_fd(int channel)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	char content;
	struct iovec byte = { &content, 1 };
	struct msghdr message = {
		.msg_iov = &byte, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};
	int fd;

	if (recvmsg(channel, &message, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&message))
		return -1;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

static bool set_option(int fs, const char *name, const char *value)
{
	return !syscall(NR_FSCONFIG, fs, SET_STRING, name, value, 0);
}

/* Numbers, since names take BTF: commands and maps of any kind, programs of some types. */
static void administer(int channel, u64 programs)
{
	int fs = receive_fd(channel);
	char mask[24];

	snprintf(mask, sizeof(mask), "%#" PRIx64, programs);
	if (fs < 0 || !set_option(fs, "delegate_cmds", "any") ||
	    !set_option(fs, "delegate_maps", "any") || !set_option(fs, "delegate_attachs", "any") ||
	    !set_option(fs, "delegate_progs", mask) ||
	    syscall(NR_FSCONFIG, fs, CMD_CREATE, NULL, NULL, 0) ||
	    !send_fd(channel, syscall(NR_FSMOUNT, fs, 0, 0))) {
		fprintf(stderr, "fuzz: delegating bpffs %s: %s\n", mask, strerror(errno));
		_exit(3);
	}
	_exit(0);
}

/* Root of a user namespace of one's own, with a token. */
static bool obtain_token(u64 programs)
{
	int pair[2], mount, root;
	struct {
		u32 flags, bpffs_fd;
	} attr = { 0 };

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return false;
	if (!fork()) {
		close(pair[0]);
		administer(pair[1], programs);
	}
	close(pair[1]);
	if (!become_user(0) || !enter_user_namespace() || unshare(CLONE_NEWNS) ||
	    !send_fd(pair[0], syscall(NR_FSOPEN, "bpf", 0)))
		return false;
	mount = receive_fd(pair[0]);
	root = openat(mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	attr.bpffs_fd = root;
	token_fd = root < 0 ? -1 : bpf(TOKEN_CREATE, &attr, sizeof(attr));
	close(root);
	close(mount);
	close(pair[0]);
	waitpid(-1, NULL, 0);
	return token_fd >= 0;
}

/* --- all of them ------------------------------------------------------------------------ */

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
	case TOKEN:
		return obtain_token(1ULL << PROG_TYPE_SECCOMP);
	case TOKEN_BARE:
		return obtain_token(1ULL << PROG_TYPE_SECCOMP) && set_capabilities(bpf | perfmon);
	case TOKEN_OTHER:
		return obtain_token(1ULL << BPF_PROG_TYPE_SOCKET_FILTER);
	default:
		return true;
	}
}

#endif
