import koffi from "koffi";

/**
 * The few Linux system calls that Node lacks. All are synchronous and take microseconds; failures become
 * `SyscallError` with the call's name and errno. Numbers from 424 on are the same on every architecture.
 */

const SYS_OPEN_TREE = 428;
const SYS_MOVE_MOUNT = 429;
const SYS_OPENAT2 = 437;
const SYS_MOUNT_SETATTR = 442;

const AT_FDCWD = -100;
const AT_EMPTY_PATH = 0x1000;
const AT_RECURSIVE = 0x8000;
const OPEN_TREE_CLONE = 1;
const O_CLOEXEC = 0o2000000;
const MOVE_MOUNT_F_EMPTY_PATH = 4;
const MOUNT_ATTR_RDONLY = 1n;
const MOUNT_ATTR_NOSUID = 2n;
const MOUNT_ATTR_NODEV = 4n;
const MOUNT_ATTR_IDMAP = 0x100000n;
const RESOLVE_IN_ROOT = 0x10n;
const MNT_DETACH = 2;
const PR_SET_CHILD_SUBREAPER = 36;
const WNOHANG = 1;
const WEXITED = 4;
const WNOWAIT = 0x1000000;
const P_ALL = 0;
/** On 64-bit machines. */
const SIGINFO_PID_OFFSET = 16;
const TIOCSWINSZ = 0x5414;
const FIONREAD = 0x541b;

/** Mount flags of mount(2). */
export const MS_NOSUID = 2;
export const MS_NODEV = 4;
export const MS_NOEXEC = 8;
export const MS_BIND = 0x1000;
export const MS_MOVE = 0x2000;
export const MS_REC = 0x4000;

const libc = koffi.load(null);
const cMount = libc.func("int mount(const char *source, const char *target, const char *type, ulong flags, str data)");
const cUmount2 = libc.func("int umount2(const char *target, int flags)");
const cPrctl = libc.func("int prctl(int option, ulong a, ulong b, ulong c, ulong d)");
const cWaitpid = libc.func("int waitpid(int pid, _Out_ int *status, int options)");
const cWaitid = libc.func("int waitid(int type, uint id, void *info, int options)");
const cPipe2 = libc.func("int pipe2(_Out_ int *fds, int flags)");
const cFallocate = libc.func("int fallocate(int fd, int mode, int64 offset, int64 length)");
const cFlock = libc.func("int flock(int fd, int operation)");
const cIoctl = libc.func("int ioctl(int fd, ulong request, void *argument)");
const cRecvmsg = libc.func("long recvmsg(int fd, void *message, int flags)");
const openTreeCall = libc.func("syscall", "long", ["long", "int", "str", "uint"]);
const moveMountCall = libc.func("syscall", "long", ["long", "int", "str", "int", "str", "uint"]);
const mountSetattrCall = libc.func("syscall", "long", ["long", "int", "str", "uint", "void *", "size_t"]);
const openat2Call = libc.func("syscall", "long", ["long", "int", "str", "void *", "size_t"]);

export class SyscallError extends Error {
  override name = "SyscallError";
  readonly errno: number;
  /** `ENOSPC` and the like, as Node's own errors have it. */
  readonly code: string;
  constructor(call: string, errno: number, subject: string) {
    super(`${call}(${subject}): ${errnoName(errno)}`);
    this.errno = errno;
    this.code = errnoName(errno);
  }
}

export function errnoName(errno: number): string {
  for (const [name, value] of Object.entries(koffi.os.errno)) if (value === errno) return name;
  return `errno ${errno}`;
}

function check(result: number | bigint, call: string, subject: string): number {
  const value = Number(result);
  if (value < 0) throw new SyscallError(call, koffi.errno(), subject);
  return value;
}

export function mount(options: { source: string; target: string; type: string; flags: number; data: string }): void {
  const { source, target, type, flags, data } = options;
  // One page holds all mount options; the kernel cuts what is longer.
  if (Buffer.byteLength(data) >= 4096) throw new SyscallError("mount", koffi.os.errno.E2BIG ?? 7, target);
  check(cMount(source, target, type, flags, data), "mount", `${type} on ${target}`);
}

/** Detaches lazily: never waits for users of the mount. */
export function unmountDetach(target: string): void {
  check(cUmount2(target, MNT_DETACH), "umount2", target);
}

export interface CloneMountOptions {
  source: string;
  target: string;
  readOnly: boolean;
  /** A user namespace whose map the mount gets; absent: ids as they are. */
  userNamespaceFd?: number;
}

/** Binds `source` at `target` (both exist, both directories or both files), nosuid and nodev, optionally idmapped. */
export function cloneMount(options: CloneMountOptions): void {
  const { source, target, readOnly, userNamespaceFd } = options;
  const fd = openTree(source);
  try {
    setMountAttributes(fd, { readOnly, userNamespaceFd, subject: source });
    moveMount(fd, target);
  } finally {
    closeFd(fd);
  }
}

/** Gives a detached mount a place; its descriptor is needed no longer. */
export function moveMount(fd: number, target: string): void {
  check(moveMountCall(SYS_MOVE_MOUNT, fd, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH), "move_mount", target);
}

/** A detached copy of the mount at `source`; the caller closes the descriptor. */
export function openTree(source: string): number {
  return check(openTreeCall(SYS_OPEN_TREE, AT_FDCWD, source, OPEN_TREE_CLONE | O_CLOEXEC), "open_tree", source);
}

export function setMountAttributes(
  fd: number,
  options: { readOnly: boolean; userNamespaceFd?: number | undefined; subject: string },
): void {
  const { readOnly, userNamespaceFd, subject } = options;
  const attr = Buffer.alloc(32);
  let set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
  if (readOnly) set |= MOUNT_ATTR_RDONLY;
  if (userNamespaceFd !== undefined) {
    set |= MOUNT_ATTR_IDMAP;
    attr.writeBigUInt64LE(BigInt(userNamespaceFd), 24);
  }
  attr.writeBigUInt64LE(set, 0);
  const result = mountSetattrCall(SYS_MOUNT_SETATTR, fd, "", AT_EMPTY_PATH | AT_RECURSIVE, attr, attr.length);
  check(result, "mount_setattr", subject);
}

/** Opens `path` as if `root` were `/`: no link, however made, leads out of it. The caller closes the descriptor. */
export function openInRoot(root: number, path: string, flags: number): number {
  const how = Buffer.alloc(24);
  how.writeBigUInt64LE(BigInt(flags | O_CLOEXEC), 0);
  how.writeBigUInt64LE(RESOLVE_IN_ROOT, 16);
  return check(openat2Call(SYS_OPENAT2, root, path, how, how.length), "openat2", path);
}

/** Orphans of our descendants become our children, so that their exit status reaches us. */
export function becomeSubreaper(): void {
  check(cPrctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl", "PR_SET_CHILD_SUBREAPER");
}

/** The exit of a child that has ended, undefined while it runs; `gone` when it is no child of ours. */
export function tryWait(pid: number): { code: number } | { signal: number } | "gone" | undefined {
  const status = [0];
  const result = cWaitpid(pid, status, WNOHANG);
  if (result === 0) return undefined;
  if (result < 0) return "gone";
  const raw = status[0] ?? 0;
  const signal = raw & 0x7f;
  return signal === 0 ? { code: (raw >> 8) & 0xff } : { signal };
}

/** A child that has ended and waits to be reaped; it goes on waiting. */
export function peekZombie(): number | undefined {
  const info = Buffer.alloc(128);
  if (cWaitid(P_ALL, 0, info, WNOHANG | WEXITED | WNOWAIT) < 0) return undefined;
  const pid = info.readInt32LE(SIGINFO_PID_OFFSET);
  return pid === 0 ? undefined : pid;
}

/** A real pipe: Node's own "pipe" stdio is a socket pair, which /dev/stdout inside cannot open. */
export function makePipe(): { read: number; write: number } {
  const fds = [0, 0];
  check(cPipe2(fds, O_CLOEXEC), "pipe2", "");
  return { read: fds[0] ?? -1, write: fds[1] ?? -1 };
}

/** Gives the file behind `fd` room on the disk without writing it. */
export function allocate(fd: number, bytes: number): void {
  check(cFallocate(fd, 0, 0, bytes), "fallocate", `${bytes} bytes`);
}

/** Takes an exclusive lock for as long as the descriptor is open; false when another process has it. */
export function tryLock(fd: number): boolean {
  return cFlock(fd, 2 | 4) === 0;
}

export function setWindowSize(fd: number, size: { rows: number; cols: number }): void {
  const argument = Buffer.alloc(8);
  argument.writeUInt16LE(size.rows, 0);
  argument.writeUInt16LE(size.cols, 2);
  check(cIoctl(fd, TIOCSWINSZ, argument), "ioctl", "TIOCSWINSZ");
}

/** Bytes that can be read at once from a pipe or terminal. */
export function readableBytes(fd: number): number {
  const argument = Buffer.alloc(4);
  return cIoctl(fd, FIONREAD, argument) < 0 ? 0 : argument.readInt32LE(0);
}

/** Takes one descriptor (SCM_RIGHTS) from a Unix socket; undefined when none has come yet. */
export function receiveDescriptor(socketFd: number): number | undefined {
  const data = Buffer.alloc(256);
  const control = Buffer.alloc(64);
  const vector = Buffer.alloc(16);
  vector.writeBigUInt64LE(koffi.address(data), 0);
  vector.writeBigUInt64LE(BigInt(data.length), 8);
  const message = Buffer.alloc(56);
  message.writeBigUInt64LE(koffi.address(vector), 16);
  message.writeBigUInt64LE(1n, 24);
  message.writeBigUInt64LE(koffi.address(control), 32);
  message.writeBigUInt64LE(BigInt(control.length), 40);
  const MSG_CMSG_CLOEXEC = 0x40000000;
  const MSG_DONTWAIT = 0x40;
  const received = Number(cRecvmsg(socketFd, message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT));
  if (received < 0) {
    if (koffi.errno() === koffi.os.errno.EAGAIN) return undefined;
    throw new SyscallError("recvmsg", koffi.errno(), "console socket");
  }
  const controlLength = Number(message.readBigUInt64LE(40));
  if (controlLength < 20) throw new SyscallError("recvmsg", 0, "the runtime sent no terminal");
  return control.readInt32LE(16);
}

function closeFd(fd: number): void {
  cClose(fd);
}
const cClose = libc.func("int close(int fd)");
