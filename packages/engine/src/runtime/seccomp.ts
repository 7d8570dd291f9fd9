/**
 * The system calls a sandbox may make. Everything not named answers ENOSYS, on which libraries fall back where EPERM
 * would end them. Left out on purpose: mounts old and new, namespaces (setns, unshare, clone with any NEW flag, clone3),
 * keys, file handles, bpf, perf, userfaultfd, io_uring, asynchronous I/O (its number is one for the whole machine), pidfd_getfd, kernel log, modules, clocks, swap, quota, raw I/O.
 */

const FILES = `access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat
  faccessat2 fadvise64 fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64
  fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate
  ftruncate64 futimesat getcwd getdents getdents64 getxattr getxattrat inotify_add_watch inotify_init inotify_init1
  inotify_rm_watch fanotify_mark lchown lchown32 lgetxattr link linkat listxattr listxattrat llistxattr lremovexattr
  lseek _llseek lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat newfstatat open openat openat2 pread64 preadv
  preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv removexattr removexattrat rename renameat
  renameat2 rmdir sendfile sendfile64 setxattr setxattrat splice stat stat64 statfs statfs64 statx symlink symlinkat
  sync sync_file_range sync_file_range2 syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat
  utimensat_time64 utimes vmsplice write writev chroot cachestat`;

const MEMORY = `brk madvise process_madvise membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2
  mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages
  get_mempolicy mbind set_mempolicy set_mempolicy_home_node map_shadow_stack`;

const PROCESSES = `arch_prctl capget capset execve execveat exit exit_group fork vfork getcpu getegid getegid32 geteuid
  geteuid32 getgid getgid32 getgroups getgroups32 getpgid getpgrp getpid getppid getpriority getresgid getresgid32
  getresuid getresuid32 getrlimit getrusage getsid gettid getuid getuid32 ioprio_get ioprio_set kcmp kill
  landlock_add_rule landlock_create_ruleset landlock_restrict_self pidfd_open pidfd_send_signal prctl prlimit64
  process_mrelease process_vm_readv process_vm_writev ptrace rseq rt_sigaction rt_sigpending rt_sigprocmask
  rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo
  sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler
  sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam
  sched_setscheduler sched_yield seccomp set_robust_list get_robust_list set_thread_area get_thread_area
  set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer getitimer
  setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit
  setsid setuid setuid32 sigaltstack sigreturn signal sigprocmask sigaction sigpending sigsuspend sysinfo tgkill
  time times tkill ugetrlimit uname wait4 waitid waitpid restart_syscall rseq_slice_yield sethostname`;

const WAITING = `alarm clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep
  clock_nanosleep_time64 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
  epoll_wait_old eventfd eventfd2 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake gettimeofday
  nanosleep pause pipe pipe2
  poll ppoll ppoll_time64 pselect6 pselect6_time64 select _newselect signalfd signalfd4 timer_create timer_delete
  timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime
  timerfd_gettime64 timerfd_settime timerfd_settime64 ioctl getrandom`;

const TALKING = `accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg
  recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair ipc mq_getsetattr
  mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget
  msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget`;

/** What only one architecture has. */
const ARCHITECTURE = "modify_ldt arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls riscv_flush_icache";

/** CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET. */
const CLONE_NEW_MASK = 0x7e020000;
const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const AF_NETLINK = 16;
const ENOSYS = 38;
const EPERM = 1;
const EAFNOSUPPORT = 97;

interface SeccompArgument {
  index: number;
  value: number;
  valueTwo?: number;
  op: "SCMP_CMP_EQ" | "SCMP_CMP_NE" | "SCMP_CMP_MASKED_EQ" | "SCMP_CMP_GE" | "SCMP_CMP_GT" | "SCMP_CMP_LT";
}

interface SeccompRule {
  names: string[];
  action: "SCMP_ACT_ALLOW" | "SCMP_ACT_ERRNO";
  errnoRet?: number;
  args?: SeccompArgument[];
}

export interface SeccompProfile {
  defaultAction: "SCMP_ACT_ERRNO";
  defaultErrnoRet: number;
  architectures: string[];
  syscalls: SeccompRule[];
}

const NATIVE: Record<string, string> = { x64: "SCMP_ARCH_X86_64", arm64: "SCMP_ARCH_AARCH64" };

/**
 * The profile for the machine's own architecture only: a 32-bit call is another table, another surface, and ends the
 * process. `arch` as in Node's `process.arch`.
 */
export function seccompProfile(arch: string): SeccompProfile {
  const names = allowedCalls().filter((name) => name !== "socketcall" && name !== "ipc");
  const native = NATIVE[arch];
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: ENOSYS,
    architectures: native === undefined ? [] : [native],
    syscalls: [
      { names, action: "SCMP_ACT_ALLOW" },
      // A new thread or process, never a new namespace. The flags are the first argument on x86-64 and arm64.
      {
        names: ["clone"],
        action: "SCMP_ACT_ALLOW",
        args: [{ index: 0, value: CLONE_NEW_MASK, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }],
      },
      { names: ["unshare", "setns"], action: "SCMP_ACT_ERRNO", errnoRet: EPERM },
      ...socketRules(),
    ],
  };
}

export function allowedCalls(): string[] {
  return [FILES, MEMORY, PROCESSES, WAITING, TALKING, ARCHITECTURE].flatMap((group) => group.trim().split(/\s+/));
}

/** AF_VSOCK is in no namespace and reaches the machine itself; families beyond these four are refused at socket(). */
function socketRules(): SeccompRule[] {
  const family = (value: number): SeccompRule => ({
    names: ["socket"],
    action: "SCMP_ACT_ALLOW",
    args: [{ index: 0, value, op: "SCMP_CMP_EQ" }],
  });
  const routeOnly: SeccompRule = {
    names: ["socket"],
    action: "SCMP_ACT_ALLOW",
    args: [
      { index: 0, value: AF_NETLINK, op: "SCMP_CMP_EQ" },
      { index: 2, value: 0, op: "SCMP_CMP_EQ" },
    ],
  };
  const refused = (args: SeccompArgument[]): SeccompRule => ({
    names: ["socket"],
    action: "SCMP_ACT_ERRNO",
    errnoRet: EAFNOSUPPORT,
    args,
  });
  return [
    family(AF_UNIX),
    family(AF_INET),
    family(AF_INET6),
    routeOnly,
    refused([{ index: 0, value: AF_NETLINK, op: "SCMP_CMP_GT" }]),
    // Audit and its like. The answer matters: useradd goes on after this one and gives up after ENOSYS.
    refused([
      { index: 0, value: AF_NETLINK, op: "SCMP_CMP_EQ" },
      { index: 2, value: 0, op: "SCMP_CMP_NE" },
    ]),
  ];
}
