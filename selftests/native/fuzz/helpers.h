/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which helpers a loaded program calls: what is left of one after verification
 * has their addresses, and root can see which functions are there. So it does not
 * matter what a program had in code that is never reached.
 */
#ifndef FUZZ_HELPERS_H
#define FUZZ_HELPERS_H

#include "loaders.h"
#include "report.h"

/*
 * What a loader has to have. ANYBODYS: it is just looked for. INSERTED: no helper, the
 * verifier itself has put the call there.
 */
enum right {
	ANYBODYS, INSERTED, TAKES_BPF, TAKES_PERFMON, TAKES_MEMORY, TAKES_GLOBAL_IDS, NOBODYS
};

struct function {
	const char *name;
	enum right right;
	s64 place;	/* from __bpf_call_base on; 0 if this kernel does not have it */
};

static struct function functions[] = {
	{ "bpf_ktime_get_ns", ANYBODYS },
	{ "bpf_seccomp_get_ns_uid_gid", ANYBODYS },
	{ "bpf_seccomp_get_ns_pid_tgid", ANYBODYS },
	{ "bpf_seccomp_read_user_dumpable", ANYBODYS },
	{ "bpf_seccomp_read_user_str_dumpable", ANYBODYS },
	{ "arch_bpf_timed_may_goto", INSERTED },
	{ "bpf_loop", TAKES_BPF },
	{ "bpf_for_each_map_elem", TAKES_BPF },
	{ "bpf_get_current_cgroup_id", TAKES_BPF },
	{ "bpf_task_storage_get_or_leader", TAKES_BPF },
	{ "bpf_task_storage_delete_or_leader", TAKES_BPF },
	{ "bpf_dynptr_from_mem", TAKES_BPF },
	{ "bpf_dynptr_read", TAKES_BPF },
	{ "bpf_ringbuf_reserve_dynptr", TAKES_BPF },
	{ "bpf_get_current_task", TAKES_PERFMON },
	{ "bpf_get_current_task_btf", TAKES_PERFMON },
	{ "bpf_get_current_comm", TAKES_PERFMON },
	{ "bpf_task_pt_regs", TAKES_PERFMON },
	{ "bpf_send_signal", TAKES_PERFMON },
	{ "bpf_send_signal_thread", TAKES_PERFMON },
	{ "bpf_seccomp_read_user", TAKES_MEMORY },
	{ "bpf_seccomp_read_user_str", TAKES_MEMORY },
	{ "bpf_probe_read_kernel", TAKES_MEMORY },
	{ "bpf_probe_read_kernel_str", TAKES_MEMORY },
	{ "bpf_get_task_stack", TAKES_MEMORY },
	{ "bpf_get_branch_snapshot", TAKES_MEMORY },
	{ "bpf_find_vma", TAKES_MEMORY },
	{ "bpf_snprintf", TAKES_MEMORY },
	{ "bpf_snprintf_btf", TAKES_MEMORY },
	{ "bpf_trace_printk", TAKES_MEMORY },
	{ "bpf_trace_vprintk", TAKES_MEMORY },
	{ "bpf_get_current_uid_gid", TAKES_GLOBAL_IDS },
	{ "bpf_get_current_pid_tgid", TAKES_GLOBAL_IDS },
	/* What other program types get for what this one has functions of its own, or not at all. */
	{ "bpf_probe_read_user", NOBODYS },
	{ "bpf_probe_read_user_str", NOBODYS },
	{ "bpf_probe_read_compat", NOBODYS },
	{ "bpf_probe_read_compat_str", NOBODYS },
	{ "bpf_probe_write_user", NOBODYS },
	{ "bpf_copy_from_user", NOBODYS },
	{ "bpf_copy_from_user_task", NOBODYS },
	{ "bpf_get_task_stack_sleepable", NOBODYS },
	{ "bpf_task_storage_get", NOBODYS },
	{ "bpf_task_storage_delete", NOBODYS },
	{ "bpf_timer_init", NOBODYS },
	{ "bpf_timer_set_callback", NOBODYS },
	{ "bpf_timer_start", NOBODYS },
	{ "bpf_timer_cancel", NOBODYS },
};

static bool has_right(enum loader loader, enum right right)
{
	switch (right) {
	case ANYBODYS:
	case INSERTED:
		return true;
	case TAKES_BPF:
		return has_bpf(loader);
	case TAKES_PERFMON:
		return has_bpf(loader) && loader != BPF_ONLY;
	case TAKES_MEMORY:
		return has_memory(loader);
	case TAKES_GLOBAL_IDS:
		return has_bpf(loader) && !names_token(loader);
	default:
		return false;
	}
}

/* Where the functions are. Root only; without, none has a place. */
static void find_helpers(void)
{
	FILE *file = fopen("/proc/kallsyms", "re");
	char line[256], name[128], type;
	unsigned long long address, base = 0;

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%llx %c %127s", &address, &type, name) != 3)
			continue;
		if (!strcmp(name, "__bpf_call_base"))
			base = address;
		if (!strstr(name, "bpf_"))
			continue;
		for (u32 i = 0; i < ARRAY_SIZE(functions); i++)
			if (!strcmp(name, functions[i].name))
				functions[i].place = address;
	}
	if (file)
		fclose(file);
	if (!base)
		fprintf(stderr, "fuzz: which helpers programs call cannot be seen (/proc/kallsyms)\n");
	for (u32 i = 0; i < ARRAY_SIZE(functions); i++)
		if (functions[i].place)
			functions[i].place = base ? (s64)(functions[i].place - base) : 0;
}

/* The function that a verified program calls with this, NULL if it is none of the above. */
static const struct function *called(s32 imm)
{
	for (u32 i = 0; i < ARRAY_SIZE(functions); i++)
		if (functions[i].place && functions[i].place == imm) {
			atomic_fetch_add(&shared->named, 1);
			return &functions[i];
		}
	return NULL;
}

#endif
