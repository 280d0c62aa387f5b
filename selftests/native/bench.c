// SPDX-License-Identifier: GPL-2.0
/*
 * Measure one configuration, in this process alone: filters stay for life.
 *
 *	bench calls WORKLOAD CALLS THREADS COPIES [FILTER]	time of the calls
 *	bench notify WORKLOAD CALLS SYNC FILTER		... answered by another process
 *	bench trace CALLS FILTER			... by a tracer
 *	bench logged CALLS RING LOG FILTER		... with a reader of a ring buffer
 *	bench load LENGTH				time of BPF_PROG_LOAD
 *	bench attach FILTER				time of seccomp()
 *	bench memory COUNT FILTER			kernel memory of so many more
 *
 * WORKLOAD: "mixed", by turns getpid() and getppid(), whose second argument says
 * "allow" or "refuse"; "fault", getppid() alone; "open", open and close a file.
 * FILTER: classic:FILE (an array of struct sock_filter), ebpf:DESCRIPTOR, or
 * classic-list:LENGTH and ebpf-list:LENGTH, checks of numbers one after another,
 * of which no call is refused.
 *
 * What was measured is printed as words NAME=NUMBER; times are of CLOCK_MONOTONIC,
 * in ns. See selftests/bench/.
 */
#include <fcntl.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>

#include "fuzz/kernel.h"

#define NOT_HERE	77	/* exit code: this architecture has no such measurement */
#define THREADS_MAX	64
#define CLASSIC_MAX	4096

#define FAULT		EIO
#define OPENED		"/dev/null"

/* Headers of a build machine may be older. */
#define SET_FLAGS	_IOW('!', 4, u64)	/* SECCOMP_IOCTL_NOTIF_SET_FLAGS */
#define SYNC_WAKE_UP	1UL			/* SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP */
#define CONTINUE	1			/* SECCOMP_USER_NOTIF_FLAG_CONTINUE */
#define EVENT_SECCOMP	(SIGTRAP | 7 << 8)	/* PTRACE_EVENT_SECCOMP */
#define O_SECCOMP	(1 << 7)		/* PTRACE_O_TRACESECCOMP */
#define O_KILL		(1 << 20)		/* PTRACE_O_EXITKILL */

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static u64 now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

static void no_new_privs(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		die("no_new_privs");
}

/* --- filters ---------------------------------------------------------------------------- */

struct filter {
	struct sock_fprog classic;	/* filter NULL: eBPF */
	int prog;			/* -1: loaded for each installation */
	u32 length;			/* of a list */
};

/* Numbers that no system call has. */
#define UNUSED_NR(i)	(0x10000 + (i))

static struct sock_fprog classic_list(u32 length)
{
	struct sock_filter *insns = calloc(length, sizeof(*insns));
	u32 i;

	for (i = 1; i + 2 < length; i += 2) {
		insns[i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
							UNUSED_NR(i), 0, 1);
		insns[i + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, RET_KILL_PROCESS);
	}
	insns[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0);
	for (; i < length; i++)
		insns[i] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, RET_ALLOW);
	return (struct sock_fprog){ .len = length, .filter = insns };
}

/* The same in eBPF, where an answer takes two instructions; loaded. */
static int load_list(u32 length, u64 *took)
{
	struct bpf_insn *insns = calloc(length, sizeof(*insns));
	struct load_attr attr = {
		.prog_type = PROG_TYPE_SECCOMP,
		.insn_cnt = length,
		.insns = (u64)(uintptr_t)insns,
		.license = (u64)(uintptr_t)"GPL",
		.prog_name = "bench",
	};
	u64 begun;
	u32 i;
	int prog;

	insns[0] = (struct bpf_insn){ .code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 2, .src_reg = 1 };
	for (i = 1; i + 5 <= length; i += 3) {
		insns[i] = (struct bpf_insn){ .code = BPF_JMP32 | BPF_JNE | BPF_K, .dst_reg = 2,
					      .off = 2, .imm = UNUSED_NR(i) };
		insns[i + 1] = (struct bpf_insn){ .code = BPF_ALU | BPF_MOV | BPF_K,
						  .imm = (s32)RET_KILL_PROCESS };
		insns[i + 2] = (struct bpf_insn){ .code = BPF_JMP | BPF_EXIT };
	}
	for (; i + 1 < length; i++)
		insns[i] = (struct bpf_insn){ .code = BPF_ALU | BPF_MOV | BPF_K, .imm = RET_ALLOW };
	insns[i] = (struct bpf_insn){ .code = BPF_JMP | BPF_EXIT };
	begun = now();
	prog = bpf(BPF_PROG_LOAD, &attr, sizeof(attr));
	*took = now() - begun;
	if (prog < 0)
		die("BPF_PROG_LOAD");
	free(insns);
	return prog;
}

static struct sock_fprog classic_file(const char *path)
{
	struct sock_filter *insns = calloc(CLASSIC_MAX, sizeof(*insns));
	int file = open(path, O_RDONLY);
	ssize_t size;

	if (file < 0)
		die(path);
	size = read(file, insns, CLASSIC_MAX * sizeof(*insns));
	if (size <= 0)
		die(path);
	close(file);
	return (struct sock_fprog){ .len = size / sizeof(*insns), .filter = insns };
}

static struct filter parse(const char *text)
{
	struct filter filter = { .prog = -1 };
	const char *rest = strchr(text, ':');

	if (!rest++) {
		fprintf(stderr, "no filter: %s\n", text);
		exit(2);
	}
	if (!strncmp(text, "classic:", rest - text))
		filter.classic = classic_file(rest);
	else if (!strncmp(text, "classic-list:", rest - text))
		filter.classic = classic_list(atoi(rest));
	else if (!strncmp(text, "ebpf:", rest - text))
		filter.prog = atoi(rest);
	else
		filter.length = atoi(rest);
	return filter;
}

/* A loaded list is not needed for longer than it is installed. */
static int attach(const struct filter *filter, u32 flags, u64 *took)
{
	int prog = filter->prog, result;
	u64 unused, begun;

	if (!filter->classic.filter && prog < 0)
		prog = load_list(filter->length, &unused);
	begun = now();
	if (filter->classic.filter)
		result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter->classic);
	else
		result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, FLAG_EXTENDED | flags,
				 &prog);
	*took = now() - begun;
	if (result < 0)
		die("seccomp");
	if (prog != filter->prog)
		close(prog);
	return result;
}

static int install(const struct filter *filter, u32 flags)
{
	u64 unused;

	no_new_privs();
	return attach(filter, flags, &unused);
}

/* --- workloads -------------------------------------------------------------------------- */

/* Calls that were refused, with the errno that has to come of it. */
static u64 mixed(u64 calls)
{
	u64 refused = 0;

	while (calls > 1) {
		refused += syscall(SYS_getpid, 0, "allow") == -1 && errno == EPERM;
		refused += syscall(SYS_getppid, 0, "refuse") == -1 && errno == EPERM;
		calls -= 2;
	}
	return refused;
}

static u64 fault(u64 calls)
{
	u64 refused = 0;

	while (calls--)
		refused += syscall(SYS_getppid) == -1 && errno == FAULT;
	return refused;
}

static u64 open_close(u64 calls)
{
	u64 refused = 0;
	int file;

	while (calls--) {
		file = openat(AT_FDCWD, OPENED, O_RDONLY);
		refused += file < 0;
		close(file);
	}
	return refused;
}

static u64 (*workload(const char *name))(u64)
{
	if (!strcmp(name, "mixed"))
		return mixed;
	if (!strcmp(name, "fault"))
		return fault;
	if (!strcmp(name, "open"))
		return open_close;
	fprintf(stderr, "no workload: %s\n", name);
	exit(2);
}

static void report(u64 ns, u64 refused)
{
	char line[80];
	int length;

	/* Written at once, also by a process that is confined. */
	length = snprintf(line, sizeof(line), "ns=%llu refused=%llu\n",
			  (unsigned long long)ns, (unsigned long long)refused);
	if (write(STDOUT_FILENO, line, length) != length)
		die("write");
}

static void run(u64 (*work)(u64), u64 calls)
{
	u64 begun = now(), refused = work(calls);

	report(now() - begun, refused);
}

/* --- calls ------------------------------------------------------------------------------ */

static pthread_barrier_t barrier;

static struct worker {
	pthread_t thread;
	u64 (*work)(u64);
	u64 calls, begun, ended, refused;
} workers[THREADS_MAX];

static void *loop(void *argument)
{
	struct worker *worker = argument;

	pthread_barrier_wait(&barrier);
	worker->begun = now();
	worker->refused = worker->work(worker->calls);
	worker->ended = now();
	return NULL;
}

/* From the first thread's beginning to the last one's end. */
static void in_threads(u64 (*work)(u64), u64 calls, u32 threads)
{
	u64 begun = UINT64_MAX, ended = 0, refused = 0;
	u32 i;

	pthread_barrier_init(&barrier, NULL, threads);
	for (i = 0; i < threads; i++) {
		workers[i].work = work;
		workers[i].calls = calls / threads;
		errno = pthread_create(&workers[i].thread, NULL, loop, &workers[i]);
		if (errno)
			die("pthread_create");
	}
	for (i = 0; i < threads; i++) {
		pthread_join(workers[i].thread, NULL);
		begun = workers[i].begun < begun ? workers[i].begun : begun;
		ended = workers[i].ended > ended ? workers[i].ended : ended;
		refused += workers[i].refused;
	}
	report(ended - begun, refused);
}

static int calls(char **argv)
{
	u64 (*work)(u64) = workload(argv[0]);
	u32 threads = atoi(argv[2]), copies = atoi(argv[3]);

	if (threads > THREADS_MAX)
		die("too many threads");
	if (argv[4]) {
		struct filter filter = parse(argv[4]);

		while (copies--)
			install(&filter, 0);
	}
	if (threads == 1)
		run(work, atoll(argv[1]));
	else
		in_threads(work, atoll(argv[1]), threads);
	return 0;
}

/* --- a supervisor ------------------------------------------------------------------------ */

/* Refuses getppid(), with an error of the workload. */
static void supervise(int listener, u64 calls, int error)
{
	struct seccomp_notif asked;
	struct seccomp_notif_resp answer;

	while (calls--) {
		memset(&asked, 0, sizeof(asked));
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked))
			die("SECCOMP_IOCTL_NOTIF_RECV");
		answer = (struct seccomp_notif_resp){ .id = asked.id };
		if (asked.data.nr == SYS_getppid)
			answer.error = -error;
		else
			answer.flags = CONTINUE;
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer))
			die("SECCOMP_IOCTL_NOTIF_SEND");
	}
}

static int exit_code(pid_t child)
{
	int status;

	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return 1;
	return WEXITSTATUS(status);
}

static int take(pid_t child, int descriptor)
{
	int process = syscall(SYS_pidfd_open, child, 0);

	return syscall(SYS_pidfd_getfd, process, descriptor, 0);
}

static int notify(char **argv)
{
	u64 (*work)(u64) = workload(argv[0]);
	u64 count = atoll(argv[1]);
	struct filter filter = parse(argv[3]);
	int up[2], down[2], listener;
	pid_t child;

	if (pipe(up) || pipe(down))
		die("pipe");
	child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		listener = install(&filter, SECCOMP_FILTER_FLAG_NEW_LISTENER);
		if (write(up[1], &listener, sizeof(listener)) < 0)
			die("write");
		/* Until the supervisor has it. */
		if (read(down[0], &listener, sizeof(listener)) < 0)
			die("read");
		run(work, count);
		exit(0);
	}
	close(up[1]);
	if (read(up[0], &listener, sizeof(listener)) != sizeof(listener))
		return exit_code(child) ?: 1;
	listener = take(child, listener);
	if (listener < 0)
		die("pidfd_getfd");
	if (atoi(argv[2]) && ioctl(listener, SET_FLAGS, SYNC_WAKE_UP))
		die("SECCOMP_IOCTL_NOTIF_SET_FLAGS");
	if (write(down[1], &listener, sizeof(listener)) < 0)
		die("write");
	supervise(listener, count, work == mixed ? EPERM : FAULT);
	return exit_code(child);
}

/* --- a tracer ---------------------------------------------------------------------------- */

#ifdef __x86_64__
static void decide(pid_t child)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, child, 0, &regs))
		die("PTRACE_GETREGS");
	if (regs.orig_rax != SYS_getppid)
		return;
	regs.orig_rax = -1;
	regs.rax = -EPERM;
	if (ptrace(PTRACE_SETREGS, child, 0, &regs))
		die("PTRACE_SETREGS");
}

static int trace(char **argv)
{
	struct filter filter = parse(argv[1]);
	int status = 0;
	pid_t child;

	child = fork();
	if (!child) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		install(&filter, 0);
		run(mixed, atoll(argv[0]));
		exit(0);
	}
	if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
		die("waitpid");
	if (ptrace(PTRACE_SETOPTIONS, child, 0, O_SECCOMP | O_KILL))
		die("PTRACE_SETOPTIONS");
	for (;;) {
		if (ptrace(PTRACE_CONT, child, 0, 0) || waitpid(child, &status, 0) != child)
			die("PTRACE_CONT");
		if (!WIFSTOPPED(status))
			return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
		if (status >> 8 == EVENT_SECCOMP)
			decide(child);
	}
}
#else
static int trace(char **argv)
{
	fprintf(stderr, "the tracer knows the registers of x86-64 alone\n");
	return NOT_HERE;
}
#endif

/* --- a reader of a log -------------------------------------------------------------------- */

#define RING_BUSY	(1U << 31)	/* BPF_RINGBUF_BUSY_BIT */
#define RING_DISCARD	(1U << 30)
#define RING_HEADER	8
#define RING_SIZE	(1 << 20)	/* gallery/opened_files.bpf.c */

/* As there. */
struct opened {
	u64 time, ids, users;
	u32 call;
	s32 dirfd;
	u64 flags;
	s64 length;
	char path[256];
};

static volatile u64 *consumed, *produced;
static const char *records;

static void map_ring(int ring)
{
	long page = sysconf(_SC_PAGESIZE);

	consumed = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, ring, 0);
	produced = mmap(NULL, page + 2 * RING_SIZE, PROT_READ, MAP_SHARED, ring, page);
	if (consumed == MAP_FAILED || produced == MAP_FAILED)
		die("mmap");
	records = (const char *)produced + page;
}

/* A line for each; how many there were. */
static u64 drain(FILE *log)
{
	u64 place = *consumed, found = 0;

	while (place < __atomic_load_n(produced, __ATOMIC_ACQUIRE)) {
		const u32 *header = (const u32 *)(records + (place & (RING_SIZE - 1)));
		const struct opened *event = (const void *)(header + 2);
		u32 length = __atomic_load_n(header, __ATOMIC_ACQUIRE);

		if (length & RING_BUSY)
			break;
		if (!(length & RING_DISCARD)) {
			fprintf(log, "%u openat(%d, \"%s\", %#llx)\n", (u32)(event->ids >> 32),
				event->dirfd, event->path, (unsigned long long)event->flags);
			found++;
		}
		place += (RING_HEADER + (length & ~RING_DISCARD) + 7) & ~7ULL;
		__atomic_store_n(consumed, place, __ATOMIC_RELEASE);
	}
	return found;
}

static int logged(char **argv)
{
	struct filter filter = parse(argv[3]);
	struct pollfd ready = { .fd = atoi(argv[1]), .events = POLLIN };
	FILE *log = fopen(argv[2], "w");
	u64 found = 0;
	pid_t child, ended;
	int status = 0;

	if (!log)
		die(argv[2]);
	map_ring(ready.fd);
	drain(log);	/* what an earlier measurement has left */
	child = fork();
	if (!child) {
		install(&filter, 0);
		run(open_close, atoll(argv[0]));
		exit(0);
	}
	do {
		poll(&ready, 1, 10);
		ended = waitpid(child, &status, WNOHANG);
		found += drain(log);
	} while (!ended);
	if (fclose(log))
		die(argv[2]);
	printf("records=%llu\n", (unsigned long long)found);
	return ended == child && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* --- single installations ----------------------------------------------------------------- */

#define SHORT	16

/*
 * The programs of processes that have ended are freed after a grace period, by
 * a worker, and taking down the code of a long one keeps others from getting
 * memory for theirs: somebody else waits for that.
 */
static void quiet(void)
{
	struct filter filter = { .classic = classic_list(SHORT), .prog = -1 };
	pid_t child;

	for (int i = 0; i < 2; i++)
		syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
	usleep(20000);
	child = fork();
	if (!child) {
		install(&filter, 0);
		exit(0);
	}
	exit_code(child);
}

/* Of /proc/meminfo, in bytes: slabs, vmalloc() (programs and their code), per-CPU memory. */
static u64 kernel_memory(void)
{
	static const char * const fields[] = { "Slab:", "VmallocUsed:", "Percpu:" };
	FILE *file = fopen("/proc/sys/vm/stat_refresh", "r");
	char line[128];
	u64 sum = 0;

	/* Reading it folds what each processor has counted for itself. */
	if (file) {
		fread(line, 1, 1, file);
		fclose(file);
	}
	file = fopen("/proc/meminfo", "r");
	if (!file)
		die("/proc/meminfo");
	while (fgets(line, sizeof(line), file))
		for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
			if (!strncmp(line, fields[i], strlen(fields[i])))
				sum += atoll(line + strlen(fields[i])) * 1024;
	fclose(file);
	return sum;
}

#define LOOKS	500	/* ten seconds */
#define ALIKE	5

/* The filters of processes that have ended go away in their own time. */
static u64 settled(void)
{
	u64 before = kernel_memory(), after;
	int same = 0;

	for (int i = 0; i < LOOKS; i++) {
		usleep(20000);
		after = kernel_memory();
		same = after == before ? same + 1 : 0;
		if (same == ALIKE)
			return after;
		before = after;
	}
	fprintf(stderr, "the kernel's memory does not stay the same\n");
	exit(1);
}

static int load(char **argv)
{
	u64 took;

	quiet();
	load_list(atoi(argv[0]), &took);
	report(took, 0);
	return 0;
}

static int attach_once(char **argv)
{
	struct filter filter = parse(argv[0]);
	u64 took;

	if (filter.length)
		filter.prog = load_list(filter.length, &took);
	no_new_privs();
	quiet();
	attach(&filter, 0, &took);
	report(took, 0);
	return 0;
}

#define HOLDERS	4	/* a process's filters add up to a limit */
#define EARLIER	400	/* filters of each of as many processes that take what is left free */

static void wait_byte(int from)
{
	char byte;

	if (read(from, &byte, 1) != 1)
		exit(1);
}

static void send_bytes(int to, int count)
{
	while (count--)
		if (write(to, "", 1) != 1)
			die("write");
}

static void install_all(const struct filter *filter, int count)
{
	while (count--)
		install(filter, 0);
}

/* Of the same kind: its slabs are those that earlier measurements have left half empty. */
static struct filter short_one(const struct filter *filter)
{
	struct filter other = *filter;

	if (filter->classic.filter)
		other.classic = classic_list(SHORT);
	else if (filter->prog < 0)
		other.length = SHORT;
	return other;
}

/* Attach, wait, attach what is measured, wait. */
static void hold(const struct filter *first, int earlier, const struct filter *filter, int count,
		 int go, int done, int leave)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	install_all(first, earlier);
	send_bytes(done, 1);
	wait_byte(go);
	install_all(filter, count);
	send_bytes(done, 1);
	wait_byte(leave);
	exit(0);
}

/* None of them ends before it is told to; the others end with this process. */
static void ended_early(int signal)
{
	_exit(1);
}

static int memory(char **argv)
{
	struct filter filter = parse(argv[1]), other = short_one(&filter);
	int go[2], done[2], leave[2], count = atoi(argv[0]) / HOLDERS, i;
	u64 before, after;

	if (pipe(go) || pipe(done) || pipe(leave))
		die("pipe");
	signal(SIGCHLD, ended_early);
	for (i = 0; i < 2 * HOLDERS; i++) {
		if (fork())
			continue;
		close(done[0]);
		if (i < HOLDERS)
			hold(&other, EARLIER, &filter, 0, go[0], done[1], leave[0]);
		hold(&filter, count / 4, &filter, count, go[0], done[1], leave[0]);
	}
	close(done[1]);
	for (i = 0; i < 2 * HOLDERS; i++)
		wait_byte(done[0]);
	before = settled();
	send_bytes(go[1], 2 * HOLDERS);
	for (i = 0; i < 2 * HOLDERS; i++)
		wait_byte(done[0]);
	after = settled();
	signal(SIGCHLD, SIG_DFL);
	send_bytes(leave[1], 2 * HOLDERS);
	while (wait(NULL) > 0)
		;
	printf("bytes=%lld\n", (long long)(after - before));
	return 0;
}

static const struct {
	const char *name;
	int (*measure)(char **argv);
	int least;
} modes[] = {
	{ "calls", calls, 4 },	{ "notify", notify, 4 }, { "trace", trace, 2 },
	{ "logged", logged, 4 }, { "load", load, 1 },	 { "attach", attach_once, 1 },
	{ "memory", memory, 2 },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(modes); i++)
		if (!strcmp(argv[1], modes[i].name) && argc - 2 >= modes[i].least)
			return modes[i].measure(argv + 2);
	fprintf(stderr, "usage: see selftests/native/bench.c\n");
	return 2;
}
