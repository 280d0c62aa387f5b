// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a filter says about system calls, none of which is carried out.
 *
 *	verdicts classic|extended FD < calls > verdicts
 *
 * FD: an array of struct sock_filter, or a program. Input: struct question, as
 * many as there are. Output: a SECCOMP_RET_* with its data, 32 bits, for each.
 *
 * An older filter says errno 4095 to everything. Of two verdicts the more severe
 * one counts, of two that are equal the newer filter's: what is not 4095 is the
 * verdict of the filter in question, and 4095 means that it is weaker than an
 * errno, which is told as SECCOMP_RET_ALLOW. Filters are put on a thread, so that
 * it can be seen who is killed, and the process goes on where that is only he.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define FLAG_EXTENDED (1 << 6)
#define MAX_ERRNO 4095
#define MAX_QUESTIONS (1 << 17)
#define MAX_INSNS 4096
#define PASSWORD 0x6c616253	/* the older filter lets the newer one be installed */

struct question {
	uint32_t compat;	/* by int $0x80, as 32-bit programs do */
	uint32_t nr;
	uint64_t args[6];
};

static struct shared {
	_Atomic uint32_t next;
	_Atomic uint32_t failed;
	_Atomic int tid;
	uint32_t answers[MAX_QUESTIONS];
} *shared;

static struct question questions[MAX_QUESTIONS];
static uint32_t count;
static int program = -1;
static struct sock_filter insns[MAX_INSNS];
static struct sock_fprog classic = { 0, insns };

static sigjmp_buf before;
static volatile uint32_t trapped;

static long install(const void *filter, unsigned int flags)
{
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, filter, PASSWORD);
}

static long install_older(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_seccomp, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[3])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PASSWORD, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | MAX_ERRNO),
	};
	struct sock_fprog prog = { sizeof(code) / sizeof(code[0]), code };

	return install(&prog, 0);
}

#ifdef __x86_64__
static long ask(const struct question *q)
{
	register uint64_t r10 asm("r10") = q->args[3];
	register uint64_t r8 asm("r8") = q->args[4];
	register uint64_t r9 asm("r9") = q->args[5];
	long result;

	if (!q->compat) {
		asm volatile("syscall" : "=a"(result)
			     : "a"((uint64_t)q->nr), "D"(q->args[0]), "S"(q->args[1]),
			       "d"(q->args[2]), "r"(r10), "r"(r8), "r"(r9)
			     : "rcx", "r11", "memory");
		return result;
	}
	/* The sixth argument is in rbp, which is the compiler's; no profile looks at it. */
	asm volatile("int $0x80" : "=a"(result), "+r"(r8), "+r"(r9), "+r"(r10)
		     : "a"((uint64_t)q->nr), "b"(q->args[0]), "c"(q->args[1]), "d"(q->args[2]),
		       "S"(q->args[3]), "D"(q->args[4])
		     : "r11", "memory");
	return (int)result;
}
#else
static long ask(const struct question *q)
{
	long result = syscall((int)q->nr, q->args[0], q->args[1], q->args[2], q->args[3],
			      q->args[4], q->args[5]);

	return result == -1 ? -errno : result;
}
#endif

static void trap(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	trapped = SECCOMP_RET_TRAP | (info->si_errno & SECCOMP_RET_DATA);
	/* To return would take a system call. */
	siglongjmp(before, 1);
}

static uint32_t answer(const struct question *q)
{
	long result;

	if (sigsetjmp(before, 0))
		return trapped;
	result = ask(q);
	if (result == -MAX_ERRNO)
		return SECCOMP_RET_ALLOW;
	if (result > 0 || result < -MAX_ERRNO)
		shared->failed = 1;
	return SECCOMP_RET_ERRNO | (-result & SECCOMP_RET_DATA);
}

static void *filtered(void *unused)
{
	(void)unused;
	shared->tid = syscall(SYS_gettid);
	if (install_older() ||
	    (program < 0 ? install(&classic, 0) : install(&program, FLAG_EXTENDED))) {
		perror("verdicts: seccomp");
		shared->failed = 1;
	}
	while (!shared->failed && shared->next < count) {
		shared->answers[shared->next] = answer(&questions[shared->next]);
		shared->next++;
	}
	/* No call is left to it to end with. */
	while (shared->next <= count)
		;
	return NULL;
}

/* A process that lives until all is answered, or somebody is killed. */
static void process(void)
{
	pthread_t thread;

	shared->tid = 0;
	if (pthread_create(&thread, NULL, filtered, NULL))
		_exit(3);
	for (;;) {
		if (shared->failed)
			_exit(3);
		if (shared->next == count)
			_exit(0);
		if (shared->tid && syscall(SYS_tgkill, getpid(), shared->tid, 0)) {
			shared->answers[shared->next++] = SECCOMP_RET_KILL_THREAD;
			_exit(0);
		}
		usleep(100);
	}
}

static int ask_all(void)
{
	while (shared->next < count) {
		int status;
		pid_t pid = fork();

		if (!pid)
			process();
		if (pid < 0 || waitpid(pid, &status, 0) != pid) {
			perror("verdicts: fork");
			return 3;
		}
		if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) {
			shared->answers[shared->next++] = SECCOMP_RET_KILL_PROCESS;
		} else if (!WIFEXITED(status) || WEXITSTATUS(status)) {
			fprintf(stderr, "verdicts: question %u ends with status %#x\n", shared->next,
				status);
			return 3;
		}
	}
	return 0;
}

static int read_filter(const char *kind, int fd)
{
	if (!strcmp(kind, "extended")) {
		program = fd;
		return 0;
	}
	ssize_t size = pread(fd, insns, sizeof(insns), 0);

	classic.len = size > 0 ? size / sizeof(insns[0]) : 0;
	return strcmp(kind, "classic") || !classic.len;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_sigaction = trap, .sa_flags = SA_SIGINFO | SA_NODEFER };
	struct rlimit none = { 0, 0 };

	if (argc != 3 || read_filter(argv[1], atoi(argv[2]))) {
		fprintf(stderr, "verdicts: classic|extended FD < calls > verdicts\n");
		return 2;
	}
	count = fread(questions, sizeof(questions[0]), MAX_QUESTIONS, stdin);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (shared == MAP_FAILED || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    sigaction(SIGSYS, &action, NULL) || setrlimit(RLIMIT_CORE, &none)) {
		perror("verdicts");
		return 3;
	}
	int status = ask_all();

	if (!status && fwrite(shared->answers, 4, count, stdout) != count)
		status = 3;
	return status;
}
