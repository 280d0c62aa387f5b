// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random seccomp filters against the kernel (lab fuzz runs this in its guest).
 *
 *	fuzz show SEED FIRST COUNT	programs, as JSON; needs no kernel
 *	fuzz run SEED FIRST COUNT SECONDS [options]
 *	fuzz case FILE [options]	cases as text: fuzz/case.h
 *
 * Options: --events FILE, --workers N, --patience SECONDS for a child, --each
 * (mark and tell each program before it is run), --sabotage (translate wrongly),
 * --until-finding (of several cases, stop at the first with a finding).
 *
 * Exits with 0 without a finding, 1 with one, 2 if it does not understand, 3 if
 * it cannot do its work.
 */
#define _GNU_SOURCE
#include "fuzz/run.h"

#include <dirent.h>

static int workers = 2;
static bool each, until_finding;

struct worker {
	int go, done;	/* pipes, seen from the main process */
};

static struct worker staff[MAX_WORKERS];

static void work(int go, int done)
{
	static struct fuzz_case c;
	struct team team;
	s32 settings[2];

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	start_team(&team);
	while (read(go, settings, sizeof(settings)) == sizeof(settings)) {
		u64 index;

		yama_scope = settings[0];
		unprivileged_disabled = settings[1];
		while ((index = atomic_fetch_add(&shared->next, 1)) < shared->end) {
			generate(&c, seed, index);
			hand_over(&team, &c, index);
		}
		if (write(done, "", 1) != 1)
			break;
	}
	_exit(0);
}

static void hire(void)
{
	for (int i = 0; i < workers; i++) {
		int go[2], done[2];

		if (pipe2(go, O_CLOEXEC) || pipe2(done, O_CLOEXEC)) {
			perror("fuzz: pipe");
			exit(3);
		}
		if (!fork()) {
			close(go[1]);
			close(done[0]);
			work(go[0], done[1]);
		}
		close(go[0]);
		close(done[1]);
		staff[i] = (struct worker){ go[1], done[0] };
	}
}

/* Now and then a word, so that a long block is not taken for a lost guest. */
static void tell_life(void)
{
	static u64 told;

	if (milliseconds() - told < 20000)
		return;
	told = milliseconds();
	begin_event("alive");
	add(&text, ",\"next\":%lu", shared->next);
	end_event();
}

static void tell_file(const char *pid, const char *name)
{
	char path[64], content[2048];
	int fd;
	ssize_t size;

	snprintf(path, sizeof(path), "/proc/%.16s/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	size = fd < 0 ? -1 : read(fd, content, sizeof(content) - 1);
	if (fd >= 0)
		close(fd);
	content[size < 0 ? 0 : size] = 0;
	fprintf(stderr, "%s %s: %s\n", pid, name, content);
}

/* Where every process of this program is, for whoever looks into a run that got stuck. */
static void tell_processes(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	while (proc && (entry = readdir(proc))) {
		char name[32] = "";
		char path[64];
		int fd;

		snprintf(path, sizeof(path), "/proc/%.16s/comm", entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (read(fd, name, sizeof(name) - 1) > 0 && !strncmp(name, "fuzz", 4)) {
			tell_file(entry->d_name, "stat");
			tell_file(entry->d_name, "wchan");
			tell_file(entry->d_name, "syscall");
			tell_file(entry->d_name, "stack");
		}
		close(fd);
	}
}

/* Wait for a worker's word; meanwhile change Yama's mind, if that is what the block is about. */
static void await(int done, int scope)
{
	struct pollfd fd = { done, POLLIN, 0 };
	/* A verifier that is busy with memory of its own takes long, too. */
	u64 end = milliseconds() + 10000ULL * patience;
	char answer;

	while (!poll(&fd, 1, scope == SCOPE_FLIP ? 0 : 1000)) {
		if (scope == SCOPE_FLIP) {
			set_scope(yama_scope == 1 ? 2 : 1);
			usleep(200);
		}
		if (milliseconds() > end) {
			fprintf(stderr, "fuzz: stuck in the block at %lu\n", shared->end);
			tell_processes();
			exit(3);
		}
		tell_life();
	}
	if (read(done, &answer, 1) != 1) {
		fprintf(stderr, "fuzz: a worker was lost\n");
		exit(3);
	}
}

static void tell_block(u64 first, u64 count, int scope, u64 done)
{
	begin_event("block");
	add(&text, ",\"first\":%" PRIu64 ",\"count\":%" PRIu64 ",\"scope\":%d,\"done\":%" PRIu64,
	    first, count, scope, done);
	if (each) {
		static struct fuzz_case c;

		generate(&c, seed, first);
		add(&text, ",\"case\":");
		add_case(&text, &c);
	}
	end_event();
}

static void run_block(u64 first, u64 count, u64 done)
{
	int scope = scope_of(seed, first);
	s32 told[2];

	set_scope(scope == SCOPE_FLIP ? SCOPE_OPEN : scope);
	set_disabled(disabled_of(seed, first));
	mark("%" PRIu64 ":%" PRIu64 "+%" PRIu64, seed, first, count);
	tell_block(first, count, scope, done);
	shared->next = first;
	shared->end = first + count;
	told[0] = yama_scope;
	told[1] = unprivileged_disabled;
	for (int i = 0; i < workers; i++)
		if (write(staff[i].go, told, sizeof(told)) != sizeof(told))
			exit(3);
	for (int i = 0; i < workers; i++)
		await(staff[i].done, scope);
}

static int run(u64 first, u64 count, u64 seconds)
{
	u64 end = milliseconds() + seconds * 1000, told = milliseconds(), done = 0;

	hire();
	while (done < count && milliseconds() < end) {
		u64 at = first + done, size = each ? 1 : BLOCK - at % BLOCK;

		if (size > count - done)
			size = count - done;
		run_block(at, size, done);
		done += size;
		if (milliseconds() - told > 10000) {
			tell_outcomes();
			told = milliseconds();
		}
	}
	tell_outcomes();
	begin_event("end");
	add(&text, ",\"exit\":0,\"done\":%" PRIu64, done);
	end_event();
	return shared->findings ? 1 : 0;
}

/* --- single cases ----------------------------------------------------------------------- */

static void tell_case(u32 number, const struct fuzz_case *c, const struct slot *slot)
{
	begin_event("case");
	add(&text, ",\"number\":%u,\"load\":\"%s\",\"reason\":", number,
	    slot->load_error ? error_name(slot->load_error) : "accepted");
	add_string(&text, slot->reason);
	add(&text, ",\"finding\":\"%s\",\"what\":", slot->finding);
	add_string(&text, slot->finding[0] ? slot->what : "");
	add(&text, ",\"results\":[");
	for (int side = 0; side < 2 && !slot->load_error; side++) {
		const struct observation *seen = &slot->seen[side];

		if (side == 1 && c->kind != DIFFERENTIAL)
			break;
		add(&text, "%s{\"installed\":%d,\"status\":%d,\"calls\":[", side ? "," : "",
		    seen->installed, seen->status);
		for (u32 i = 0; i < seen->done; i++)
			add(&text, "%s%" PRId64, i ? "," : "", seen->results[i]);
		add(&text, "]}");
	}
	add(&text, "],\"insn\":");
	add_insns(&text, c);
	end_event();
}

/* A team of its own for each case: what one leaves behind is not the next one's. */
static bool run_given(u32 number)
{
	struct team team;
	struct slot *slot;
	bool finding;

	if (given->kind == DIFFERENTIAL && !given->n_insns)
		translate(given);
	mark("case %u", number);
	begin_event("try");
	add(&text, ",\"number\":%u", number);
	end_event();
	set_scope(given->scope == SCOPE_FLIP ? SCOPE_OPEN : given->scope);
	set_disabled(given->disabled);
	start_team(&team);
	slot = hand_over(&team, given, number);
	tell_case(number, given, slot);
	finding = slot->finding[0];
	for (int loader = 0; loader < LOADERS; loader++)
		close(team.channels[loader]);
	while (wait(NULL) > 0)
		;
	munmap(team.slots, LOADERS * sizeof(struct slot));
	return finding;
}

static int run_cases(const char *path)
{
	FILE *file = fopen(path, "re");
	bool any = false;

	if (!file) {
		perror(path);
		return 2;
	}
	given = malloc(sizeof(*given));
	for (u32 number = 0; read_case(file, given) && !(any && until_finding); number++)
		any |= run_given(number);
	begin_event("end");
	add(&text, ",\"exit\":0");
	end_event();
	return any;
}

/* --- starting --------------------------------------------------------------------------- */

/* Loaded by root, who is denied nothing in any scope: it has no state. */
static void load_allow(void)
{
	static struct fuzz_case c;
	static char log[LOG_SIZE];
	int fd;

	c.gpl = true;
	put(&c, ALU32_K(BPF_MOV), R0, 0, 0, RET_ALLOW);
	put_exit(&c);
	fd = load(&c, -1, log);
	if (fd < 0) {
		fprintf(stderr, "fuzz: this kernel takes no eBPF filter: %s\n%s", strerror(errno), log);
		exit(3);
	}
	allow_fd = fcntl(fd, F_DUPFD_CLOEXEC, MAP_FD(MAPS));
	close(fd);
	set_element(PROGS, &allow_fd);
}

static void prepare(void)
{
	struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	/* A child that may not exit ends by a fault: no word about it on the console. */
	write_file("/proc/sys/debug/exception-trace", "0");
	kernel_log = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	read_settings();
	find_btf_ids();
	find_helpers();
	if (!make_maps(-1))
		fprintf(stderr, "fuzz: programs that use the maps above are all refused\n");
	shared = share(sizeof(*shared));
	load_allow();
}

static int show(u64 first, u64 count)
{
	static struct fuzz_case c;

	for (u64 index = first; index < first + count; index++) {
		generate(&c, seed, index);
		begin_event("show");
		add(&text, ",\"index\":%" PRIu64 ",\"case\":", index);
		add_case(&text, &c);
		end_event();
	}
	return 0;
}

static int usage(void)
{
	fprintf(stderr, "fuzz: show SEED FIRST COUNT | run SEED FIRST COUNT SECONDS | case FILE\n");
	return 2;
}

static u64 number(const char *string)
{
	char *end;
	u64 value = strtoull(string, &end, 10);

	if (!*string || *end)
		exit(usage());
	return value;
}

int main(int argc, char **argv)
{
	const char *words[6];
	int count = 0;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--each"))
			each = true;
		else if (!strcmp(argv[i], "--sabotage"))
			sabotage = true;
		else if (!strcmp(argv[i], "--until-finding"))
			until_finding = true;
		else if (!strcmp(argv[i], "--events") && i + 1 < argc)
			events = open(argv[++i], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
		else if (!strcmp(argv[i], "--workers") && i + 1 < argc)
			workers = number(argv[++i]);
		else if (!strcmp(argv[i], "--patience") && i + 1 < argc)
			patience = number(argv[++i]);
		else if (count < 6 && argv[i][0] != '-')
			words[count++] = argv[i];
		else
			return usage();
	}
	if (events < 0 || workers < 1 || workers > MAX_WORKERS)
		return usage();
	if (each)
		workers = 1;
	if (count == 4 && !strcmp(words[0], "show")) {
		seed = number(words[1]);
		return show(number(words[2]), number(words[3]));
	}
	if (count == 5 && !strcmp(words[0], "run")) {
		seed = number(words[1]);
		prepare();
		return run(number(words[2]), number(words[3]), number(words[4]));
	}
	if (count == 2 && !strcmp(words[0], "case")) {
		prepare();
		return run_cases(words[1]);
	}
	return usage();
}
