# SPDX-License-Identifier: MIT
"""Every helper function of the kernel, and what a loader of seccomp filters needs to be offered it.

Ids and names are those of ___BPF_FUNC_MAPPER in include/uapi/linux/bpf.h. What the base offers to
whom is bpf_base_func_proto() in kernel/bpf/helpers.c; the series takes away from that in
seccomp_func_proto() of kernel/bpf/bpf_seccomp.c. A row here is a decision: a helper that the kernel
has and this table has not is a failure of the test that reads it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from selftests.harness.lacks import BASE_HELPERS, LACKS
from selftests.harness.uapi import CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN, CAP_SYS_PTRACE


class Grant(enum.Enum):
    """What it takes to be offered a helper."""

    ANY = "every loader that may have state"
    BPF = "CAP_BPF"
    PERFMON = "CAP_BPF and CAP_PERFMON"
    MEMORY = "CAP_BPF, CAP_PERFMON and, in the initial user namespace, CAP_SYS_PTRACE"
    NEVER = "refused to everybody"


ANY, BPF, PERFMON, MEMORY, NEVER = Grant


@dataclass(frozen=True)
class Helper:
    """One helper. ``optional``: a kernel may be configured without it. ``later``: what an older
    base, one that lacks BASE_HELPERS, does not offer to all program types.
    """

    id: int
    name: str
    grant: Grant
    optional: bool = False
    later: bool = False

    @property
    def may_miss(self) -> bool:
        """May this guest's kernel have nobody offered it?"""
        return self.optional or (self.later and BASE_HELPERS in LACKS)


def grants_of(capabilities: frozenset[int]) -> frozenset[Grant]:
    """What a loader gets who has ``capabilities`` in the initial user namespace.

    CAP_SYS_ADMIN stands for CAP_BPF and CAP_PERFMON (bpf_ns_capable(), kernel/bpf/token.c), not
    for CAP_SYS_PTRACE.
    """

    def has(capability: int) -> bool:
        return bool(capabilities & {capability, CAP_SYS_ADMIN})

    grants = {ANY}
    if has(CAP_BPF):
        grants.add(BPF)
        if has(CAP_PERFMON):
            grants.add(PERFMON)
            if CAP_SYS_PTRACE in capabilities:
                grants.add(MEMORY)
    return frozenset(grants)


# fmt: off
HELPERS: tuple[Helper, ...] = (
    Helper(1, "map_lookup_elem", ANY),
    Helper(2, "map_update_elem", ANY),
    Helper(3, "map_delete_elem", ANY),
    Helper(4, "probe_read", NEVER),
    Helper(5, "ktime_get_ns", ANY),
    Helper(6, "trace_printk", MEMORY),
    Helper(7, "get_prandom_u32", ANY),
    Helper(8, "get_smp_processor_id", ANY),
    Helper(9, "skb_store_bytes", NEVER),
    Helper(10, "l3_csum_replace", NEVER),
    Helper(11, "l4_csum_replace", NEVER),
    Helper(12, "tail_call", ANY),
    Helper(13, "clone_redirect", NEVER),
    Helper(14, "get_current_pid_tgid", ANY),
    Helper(15, "get_current_uid_gid", ANY),
    Helper(16, "get_current_comm", PERFMON, later=True),
    Helper(17, "get_cgroup_classid", BPF, optional=True),
    Helper(18, "skb_vlan_push", NEVER),
    Helper(19, "skb_vlan_pop", NEVER),
    Helper(20, "skb_get_tunnel_key", NEVER),
    Helper(21, "skb_set_tunnel_key", NEVER),
    Helper(22, "perf_event_read", PERFMON, later=True),
    Helper(23, "redirect", NEVER),
    Helper(24, "get_route_realm", NEVER),
    Helper(25, "perf_event_output", NEVER),
    Helper(26, "skb_load_bytes", NEVER),
    Helper(27, "get_stackid", NEVER),
    Helper(28, "csum_diff", NEVER),
    Helper(29, "skb_get_tunnel_opt", NEVER),
    Helper(30, "skb_set_tunnel_opt", NEVER),
    Helper(31, "skb_change_proto", NEVER),
    Helper(32, "skb_change_type", NEVER),
    Helper(33, "skb_under_cgroup", NEVER),
    Helper(34, "get_hash_recalc", NEVER),
    Helper(35, "get_current_task", PERFMON),
    Helper(36, "probe_write_user", NEVER),
    Helper(37, "current_task_under_cgroup", BPF, later=True),
    Helper(38, "skb_change_tail", NEVER),
    Helper(39, "skb_pull_data", NEVER),
    Helper(40, "csum_update", NEVER),
    Helper(41, "set_hash_invalid", NEVER),
    Helper(42, "get_numa_node_id", ANY),
    Helper(43, "skb_change_head", NEVER),
    Helper(44, "xdp_adjust_head", NEVER),
    Helper(45, "probe_read_str", NEVER),
    Helper(46, "get_socket_cookie", NEVER),
    Helper(47, "get_socket_uid", NEVER),
    Helper(48, "set_hash", NEVER),
    Helper(49, "setsockopt", NEVER),
    Helper(50, "skb_adjust_room", NEVER),
    Helper(51, "redirect_map", NEVER),
    Helper(52, "sk_redirect_map", NEVER),
    Helper(53, "sock_map_update", NEVER),
    Helper(54, "xdp_adjust_meta", NEVER),
    Helper(55, "perf_event_read_value", PERFMON, later=True),
    Helper(56, "perf_prog_read_value", NEVER),
    Helper(57, "getsockopt", NEVER),
    Helper(58, "override_return", NEVER),
    Helper(59, "sock_ops_cb_flags_set", NEVER),
    Helper(60, "msg_redirect_map", NEVER),
    Helper(61, "msg_apply_bytes", NEVER),
    Helper(62, "msg_cork_bytes", NEVER),
    Helper(63, "msg_pull_data", NEVER),
    Helper(64, "bind", NEVER),
    Helper(65, "xdp_adjust_tail", NEVER),
    Helper(66, "skb_get_xfrm_state", NEVER),
    Helper(67, "get_stack", NEVER),
    Helper(68, "skb_load_bytes_relative", NEVER),
    Helper(69, "fib_lookup", NEVER),
    Helper(70, "sock_hash_update", NEVER),
    Helper(71, "msg_redirect_hash", NEVER),
    Helper(72, "sk_redirect_hash", NEVER),
    Helper(73, "lwt_push_encap", NEVER),
    Helper(74, "lwt_seg6_store_bytes", NEVER),
    Helper(75, "lwt_seg6_adjust_srh", NEVER),
    Helper(76, "lwt_seg6_action", NEVER),
    Helper(77, "rc_repeat", NEVER),
    Helper(78, "rc_keydown", NEVER),
    Helper(79, "skb_cgroup_id", NEVER),
    Helper(80, "get_current_cgroup_id", BPF),
    Helper(81, "get_local_storage", NEVER),
    Helper(82, "sk_select_reuseport", NEVER),
    Helper(83, "skb_ancestor_cgroup_id", NEVER),
    Helper(84, "sk_lookup_tcp", NEVER),
    Helper(85, "sk_lookup_udp", NEVER),
    Helper(86, "sk_release", NEVER),
    Helper(87, "map_push_elem", ANY),
    Helper(88, "map_pop_elem", ANY),
    Helper(89, "map_peek_elem", ANY),
    Helper(90, "msg_push_data", NEVER),
    Helper(91, "msg_pop_data", NEVER),
    Helper(92, "rc_pointer_rel", NEVER),
    Helper(93, "spin_lock", BPF),
    Helper(94, "spin_unlock", BPF),
    Helper(95, "sk_fullsock", NEVER),
    Helper(96, "tcp_sock", NEVER),
    Helper(97, "skb_ecn_set_ce", NEVER),
    Helper(98, "get_listener_sock", NEVER),
    Helper(99, "skc_lookup_tcp", NEVER),
    Helper(100, "tcp_check_syncookie", NEVER),
    Helper(101, "sysctl_get_name", NEVER),
    Helper(102, "sysctl_get_current_value", NEVER),
    Helper(103, "sysctl_get_new_value", NEVER),
    Helper(104, "sysctl_set_new_value", NEVER),
    Helper(105, "strtol", ANY),
    Helper(106, "strtoul", ANY),
    Helper(107, "sk_storage_get", NEVER),
    Helper(108, "sk_storage_delete", NEVER),
    Helper(109, "send_signal", PERFMON, later=True),
    Helper(110, "tcp_gen_syncookie", NEVER),
    Helper(111, "skb_output", NEVER),
    Helper(112, "probe_read_user", ANY),
    Helper(113, "probe_read_kernel", MEMORY),
    Helper(114, "probe_read_user_str", ANY),
    Helper(115, "probe_read_kernel_str", MEMORY),
    Helper(116, "tcp_send_ack", NEVER),
    Helper(117, "send_signal_thread", PERFMON, later=True),
    Helper(118, "jiffies64", BPF),
    Helper(119, "read_branch_records", NEVER),
    Helper(120, "get_ns_current_pid_tgid", ANY),
    Helper(121, "xdp_output", NEVER),
    Helper(122, "get_netns_cookie", NEVER),
    Helper(123, "get_current_ancestor_cgroup_id", BPF),
    Helper(124, "sk_assign", NEVER),
    Helper(125, "ktime_get_boot_ns", ANY),
    Helper(126, "seq_printf", NEVER),
    Helper(127, "seq_write", NEVER),
    Helper(128, "sk_cgroup_id", NEVER),
    Helper(129, "sk_ancestor_cgroup_id", NEVER),
    Helper(130, "ringbuf_output", ANY),
    Helper(131, "ringbuf_reserve", ANY),
    Helper(132, "ringbuf_submit", ANY),
    Helper(133, "ringbuf_discard", ANY),
    Helper(134, "ringbuf_query", ANY),
    Helper(135, "csum_level", NEVER),
    Helper(136, "skc_to_tcp6_sock", NEVER),
    Helper(137, "skc_to_tcp_sock", NEVER),
    Helper(138, "skc_to_tcp_timewait_sock", NEVER),
    Helper(139, "skc_to_tcp_request_sock", NEVER),
    Helper(140, "skc_to_udp6_sock", NEVER),
    Helper(141, "get_task_stack", MEMORY, later=True),
    Helper(142, "load_hdr_opt", NEVER),
    Helper(143, "store_hdr_opt", NEVER),
    Helper(144, "reserve_hdr_opt", NEVER),
    Helper(145, "inode_storage_get", NEVER),
    Helper(146, "inode_storage_delete", NEVER),
    Helper(147, "d_path", NEVER),
    Helper(148, "copy_from_user", NEVER),
    Helper(149, "snprintf_btf", MEMORY),
    Helper(150, "seq_printf_btf", NEVER),
    Helper(151, "skb_cgroup_classid", NEVER),
    Helper(152, "redirect_neigh", NEVER),
    Helper(153, "per_cpu_ptr", BPF),
    Helper(154, "this_cpu_ptr", BPF),
    Helper(155, "redirect_peer", NEVER),
    Helper(156, "task_storage_get", BPF),
    Helper(157, "task_storage_delete", BPF),
    Helper(158, "get_current_task_btf", PERFMON),
    Helper(159, "bprm_opts_set", NEVER),
    Helper(160, "ktime_get_coarse_ns", NEVER),
    Helper(161, "ima_inode_hash", NEVER),
    Helper(162, "sock_from_file", NEVER),
    Helper(163, "check_mtu", NEVER),
    Helper(164, "for_each_map_elem", BPF),
    Helper(165, "snprintf", MEMORY),
    Helper(166, "sys_bpf", NEVER),
    Helper(167, "btf_find_by_name_kind", NEVER),
    Helper(168, "sys_close", NEVER),
    Helper(169, "timer_init", NEVER),
    Helper(170, "timer_set_callback", NEVER),
    Helper(171, "timer_start", NEVER),
    Helper(172, "timer_cancel", NEVER),
    Helper(173, "get_func_ip", NEVER),
    Helper(174, "get_attach_cookie", NEVER),
    Helper(175, "task_pt_regs", PERFMON),
    Helper(176, "get_branch_snapshot", MEMORY, later=True),
    Helper(177, "trace_vprintk", MEMORY),
    Helper(178, "skc_to_unix_sock", NEVER),
    Helper(179, "kallsyms_lookup_name", NEVER),
    Helper(180, "find_vma", MEMORY, later=True),
    Helper(181, "loop", BPF),
    Helper(182, "strncmp", ANY),
    Helper(183, "get_func_arg", NEVER),
    Helper(184, "get_func_ret", NEVER),
    Helper(185, "get_func_arg_cnt", NEVER),
    Helper(186, "get_retval", NEVER),
    Helper(187, "set_retval", NEVER),
    Helper(188, "xdp_get_buff_len", NEVER),
    Helper(189, "xdp_load_bytes", NEVER),
    Helper(190, "xdp_store_bytes", NEVER),
    Helper(191, "copy_from_user_task", NEVER),
    Helper(192, "skb_set_tstamp", NEVER),
    Helper(193, "ima_file_hash", NEVER),
    Helper(194, "kptr_xchg", BPF),
    Helper(195, "map_lookup_percpu_elem", ANY),
    Helper(196, "skc_to_mptcp_sock", NEVER),
    Helper(197, "dynptr_from_mem", BPF),
    Helper(198, "ringbuf_reserve_dynptr", BPF),
    Helper(199, "ringbuf_submit_dynptr", BPF),
    Helper(200, "ringbuf_discard_dynptr", BPF),
    Helper(201, "dynptr_read", BPF),
    Helper(202, "dynptr_write", BPF),
    Helper(203, "dynptr_data", BPF),
    Helper(204, "tcp_raw_gen_syncookie_ipv4", NEVER),
    Helper(205, "tcp_raw_gen_syncookie_ipv6", NEVER),
    Helper(206, "tcp_raw_check_syncookie_ipv4", NEVER),
    Helper(207, "tcp_raw_check_syncookie_ipv6", NEVER),
    Helper(208, "ktime_get_tai_ns", ANY),
    Helper(209, "user_ringbuf_drain", BPF),
    Helper(210, "cgrp_storage_get", BPF),
    Helper(211, "cgrp_storage_delete", BPF),
)
# fmt: on
