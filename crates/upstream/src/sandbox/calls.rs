//! The system calls a server may make. Everything that is not here does not exist for it (`ENOSYS`), so that programs
//! that look for something new find the old way: glibc starts threads without `clone3` then.
//!
//! Not here, on purpose: `ptrace` and reading others' memory; mounts, `chroot`, `setns`, `unshare`; keys; `bpf`,
//! `perf_event_open`, `userfaultfd`, `io_uring`; modules, `kexec`, `reboot`, swap, accounting; the clock, the names of
//! host and domain; handles of files; `pidfd_getfd`.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use super::kernel;

/// On every processor.
#[rustfmt::skip]
const ALLOWED: &[libc::c_long] = &[
    libc::SYS_read, libc::SYS_write, libc::SYS_close, libc::SYS_fstat, libc::SYS_lseek, libc::SYS_mmap,
    libc::SYS_mprotect, libc::SYS_munmap, libc::SYS_brk, libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn, libc::SYS_pread64, libc::SYS_pwrite64, libc::SYS_readv, libc::SYS_writev,
    libc::SYS_sched_yield, libc::SYS_mremap, libc::SYS_msync, libc::SYS_mincore, libc::SYS_madvise,
    libc::SYS_shmget, libc::SYS_shmat, libc::SYS_shmctl, libc::SYS_shmdt, libc::SYS_semget,
    libc::SYS_semop, libc::SYS_semctl, libc::SYS_semtimedop, libc::SYS_msgget, libc::SYS_msgsnd,
    libc::SYS_msgrcv, libc::SYS_msgctl, libc::SYS_dup, libc::SYS_nanosleep, libc::SYS_getitimer,
    libc::SYS_setitimer, libc::SYS_getpid, libc::SYS_sendfile, libc::SYS_socketpair, libc::SYS_connect,
    libc::SYS_accept, libc::SYS_sendto, libc::SYS_recvfrom, libc::SYS_sendmsg, libc::SYS_recvmsg,
    libc::SYS_shutdown, libc::SYS_bind, libc::SYS_listen, libc::SYS_getsockname, libc::SYS_getpeername,
    libc::SYS_setsockopt, libc::SYS_getsockopt, libc::SYS_execve, libc::SYS_execveat, libc::SYS_exit,
    libc::SYS_exit_group, libc::SYS_wait4, libc::SYS_waitid, libc::SYS_kill, libc::SYS_tkill,
    libc::SYS_tgkill, libc::SYS_uname, libc::SYS_fcntl, libc::SYS_flock, libc::SYS_fsync,
    libc::SYS_fdatasync, libc::SYS_truncate, libc::SYS_ftruncate, libc::SYS_getcwd, libc::SYS_chdir,
    libc::SYS_fchdir, libc::SYS_fchmod, libc::SYS_fchown, libc::SYS_umask, libc::SYS_gettimeofday,
    libc::SYS_getrlimit, libc::SYS_getrusage, libc::SYS_sysinfo, libc::SYS_times, libc::SYS_getuid,
    libc::SYS_getgid, libc::SYS_setuid, libc::SYS_setgid, libc::SYS_geteuid, libc::SYS_getegid,
    libc::SYS_setpgid, libc::SYS_getppid, libc::SYS_setsid, libc::SYS_setreuid, libc::SYS_setregid,
    libc::SYS_getgroups, libc::SYS_setgroups, libc::SYS_setresuid, libc::SYS_getresuid,
    libc::SYS_setresgid, libc::SYS_getresgid, libc::SYS_getpgid, libc::SYS_setfsuid, libc::SYS_setfsgid,
    libc::SYS_getsid, libc::SYS_capget, libc::SYS_capset, libc::SYS_rt_sigpending,
    libc::SYS_rt_sigtimedwait, libc::SYS_rt_sigqueueinfo, libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_rt_sigsuspend, libc::SYS_sigaltstack, libc::SYS_statfs, libc::SYS_fstatfs,
    libc::SYS_getpriority, libc::SYS_setpriority, libc::SYS_sched_setparam, libc::SYS_sched_getparam,
    libc::SYS_sched_setscheduler, libc::SYS_sched_getscheduler, libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min, libc::SYS_sched_rr_get_interval, libc::SYS_sched_setaffinity,
    libc::SYS_sched_getaffinity, libc::SYS_sched_setattr, libc::SYS_sched_getattr, libc::SYS_mlock,
    libc::SYS_munlock, libc::SYS_mlockall, libc::SYS_munlockall, libc::SYS_mlock2, libc::SYS_prctl,
    libc::SYS_setrlimit, libc::SYS_prlimit64, libc::SYS_sync, libc::SYS_syncfs, libc::SYS_sync_file_range,
    libc::SYS_gettid, libc::SYS_readahead, libc::SYS_setxattr, libc::SYS_lsetxattr, libc::SYS_fsetxattr,
    libc::SYS_getxattr, libc::SYS_lgetxattr, libc::SYS_fgetxattr, libc::SYS_listxattr,
    libc::SYS_llistxattr, libc::SYS_flistxattr, libc::SYS_removexattr, libc::SYS_lremovexattr,
    libc::SYS_fremovexattr, libc::SYS_futex, libc::SYS_set_tid_address, libc::SYS_restart_syscall,
    libc::SYS_fadvise64, libc::SYS_timer_create, libc::SYS_timer_settime, libc::SYS_timer_gettime,
    libc::SYS_timer_getoverrun, libc::SYS_timer_delete, libc::SYS_clock_gettime, libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep, libc::SYS_inotify_init1, libc::SYS_inotify_add_watch,
    libc::SYS_inotify_rm_watch, libc::SYS_epoll_create1, libc::SYS_epoll_ctl, libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2, libc::SYS_openat, libc::SYS_openat2, libc::SYS_mkdirat, libc::SYS_mknodat,
    libc::SYS_fchownat, libc::SYS_newfstatat, libc::SYS_unlinkat, libc::SYS_renameat, libc::SYS_renameat2,
    libc::SYS_linkat, libc::SYS_symlinkat, libc::SYS_readlinkat, libc::SYS_fchmodat, libc::SYS_fchmodat2,
    libc::SYS_faccessat, libc::SYS_faccessat2, libc::SYS_pselect6, libc::SYS_ppoll,
    libc::SYS_set_robust_list, libc::SYS_get_robust_list, libc::SYS_splice, libc::SYS_tee,
    libc::SYS_utimensat, libc::SYS_fallocate, libc::SYS_signalfd4, libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime, libc::SYS_timerfd_gettime, libc::SYS_eventfd2, libc::SYS_accept4,
    libc::SYS_dup3, libc::SYS_pipe2, libc::SYS_preadv, libc::SYS_pwritev, libc::SYS_preadv2,
    libc::SYS_pwritev2, libc::SYS_recvmmsg, libc::SYS_sendmmsg, libc::SYS_getcpu, libc::SYS_getrandom,
    libc::SYS_memfd_create, libc::SYS_membarrier, libc::SYS_copy_file_range, libc::SYS_pkey_mprotect,
    libc::SYS_pkey_alloc, libc::SYS_pkey_free, libc::SYS_statx, libc::SYS_rseq, libc::SYS_close_range,
    libc::SYS_pidfd_open, libc::SYS_pidfd_send_signal, libc::SYS_landlock_create_ruleset,
    libc::SYS_landlock_add_rule, libc::SYS_landlock_restrict_self, libc::SYS_seccomp,
    libc::SYS_get_mempolicy, libc::SYS_set_mempolicy, libc::SYS_futex_waitv, libc::SYS_getdents64,
];
/// What newer processors have no numbers for.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const ALLOWED_OLD: &[libc::c_long] = &[
    libc::SYS_open, libc::SYS_stat, libc::SYS_lstat, libc::SYS_poll, libc::SYS_access, libc::SYS_pipe,
    libc::SYS_select, libc::SYS_dup2, libc::SYS_fork, libc::SYS_vfork, libc::SYS_rename, libc::SYS_mkdir,
    libc::SYS_rmdir, libc::SYS_creat, libc::SYS_link, libc::SYS_unlink, libc::SYS_symlink,
    libc::SYS_readlink, libc::SYS_chmod, libc::SYS_chown, libc::SYS_lchown, libc::SYS_utime,
    libc::SYS_utimes, libc::SYS_getdents, libc::SYS_alarm, libc::SYS_pause, libc::SYS_getpgrp,
    libc::SYS_epoll_create, libc::SYS_epoll_wait, libc::SYS_inotify_init, libc::SYS_signalfd,
    libc::SYS_eventfd, libc::SYS_futimesat, libc::SYS_arch_prctl, libc::SYS_time, libc::SYS_mknod,
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_OLD: &[libc::c_long] = &[];

/// New namespaces of any kind (`CLONE_NEW*`).
const NAMESPACES: u64 = 0x7E02_0000;
/// Families of sockets: Unix, IPv4 and IPv6. Without a network there is nothing to reach with the latter.
const FAMILIES: [u64; 3] = [1, 2, 10];
/// Put bytes into a terminal's input, as if its user had typed them: by `TIOCSTI`, and by pasting (`TIOCLINUX`).
const TYPING: [u64; 2] = [0x5412, 0x541C];

/// Restricts this thread and all it starts.
pub(super) fn restrict() -> Result<(), String> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", kernel::SECCOMP);
    let filter = filter().map_err(|error| named(&error))?;
    let program: BpfProgram = filter
        .try_into()
        .map_err(|error: seccompiler::BackendError| named(&error))?;
    seccompiler::apply_filter(&program).map_err(|error| named(&error))
}

fn filter() -> Result<SeccompFilter, seccompiler::BackendError> {
    let when = |argument, length, operator, value| {
        let condition = SeccompCondition::new(argument, length, operator, value)?;
        SeccompRule::new(vec![condition])
    };
    let (word, long) = (SeccompCmpArgLen::Dword, SeccompCmpArgLen::Qword);
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED
        .iter()
        .chain(ALLOWED_OLD)
        .map(|call| (*call, Vec::new()))
        .collect();
    let no_namespace = when(0, long, SeccompCmpOp::MaskedEq(NAMESPACES), 0)?;
    rules.insert(libc::SYS_clone, vec![no_namespace]);
    let families: Result<_, _> = FAMILIES
        .iter()
        .map(|family| when(0, word.clone(), SeccompCmpOp::Eq, *family))
        .collect();
    rules.insert(libc::SYS_socket, families?);
    let not_typing: Result<_, _> = TYPING
        .iter()
        .map(|request| SeccompCondition::new(1, word.clone(), SeccompCmpOp::Ne, *request))
        .collect();
    rules.insert(libc::SYS_ioctl, vec![SeccompRule::new(not_typing?)?]);
    // Linux and the question which it is; not the old ways that switch protections off.
    let personalities: Result<_, _> = [0, 0xFFFF_FFFF]
        .into_iter()
        .map(|which| when(0, word.clone(), SeccompCmpOp::Eq, which))
        .collect();
    rules.insert(libc::SYS_personality, personalities?);
    let absent = u32::try_from(libc::ENOSYS).unwrap_or_default();
    SeccompFilter::new(
        rules,
        SeccompAction::Errno(absent),
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into()?,
    )
}

#[cfg(test)]
mod tests {
    /// The kernel takes 4096 instructions.
    #[test]
    fn the_list_is_a_program_the_kernel_takes() {
        let program: seccompiler::BpfProgram =
            super::filter().expect("a filter").try_into().expect("a program");
        assert!(program.len() < 4096, "{}", program.len());
    }

    #[test]
    fn what_must_not_be_there_is_not() {
        for call in [
            libc::SYS_ptrace,
            libc::SYS_mount,
            libc::SYS_bpf,
            libc::SYS_userfaultfd,
            libc::SYS_io_uring_setup,
            libc::SYS_keyctl,
            libc::SYS_kexec_load,
            libc::SYS_perf_event_open,
            libc::SYS_setns,
            libc::SYS_unshare,
            libc::SYS_clone3,
            libc::SYS_pidfd_getfd,
            libc::SYS_process_vm_readv,
            libc::SYS_open_by_handle_at,
            libc::SYS_mount_setattr,
            libc::SYS_chroot,
            libc::SYS_sethostname,
            libc::SYS_clock_settime,
        ] {
            assert!(!super::ALLOWED.contains(&call), "{call}");
        }
    }
}
