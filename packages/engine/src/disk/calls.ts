import { closeSync, constants, openSync } from "node:fs";
import koffi from "koffi";
import { SyscallError } from "../keeper/syscalls.ts";

/**
 * The system calls of quotas: loop devices, file systems mounted without a place, project ids and their limits.
 * What may wait for a disk runs on a thread of libuv's, so that the keeper goes on answering. Failures become
 * `SyscallError`. Numbers from 424 on are the same on every architecture.
 */

const SYS_FSOPEN = 430;
const SYS_FSCONFIG = 431;
const SYS_FSMOUNT = 432;
const SYS_QUOTACTL_FD = 443;

const LOOP_CTL_GET_FREE = 0x4c82;
const LOOP_CONFIGURE = 0x4c0a;
const LOOP_GET_STATUS64 = 0x4c05;
const LO_FLAGS_AUTOCLEAR = 4;
const LO_FLAGS_DIRECT_IO = 16;
/** Of `struct loop_info64`, which is 232 bytes, and of it within `struct loop_config`. */
const LOOP_FLAGS_OFFSET = 52;
const LOOP_INFO_BYTES = 232;
const LOOP_CONFIG_INFO = 8;
const LOOP_CONFIG_BYTES = 304;
const LOOP_TRIES = 32;
const LOOP_MAJOR = 7;

const FSCONFIG_SET_FLAG = 0;
const FSCONFIG_SET_STRING = 1;
const FSCONFIG_CMD_CREATE = 6;
const CLOEXEC = 1;
const MOUNT_NOSUID_NODEV_NOATIME = 2 | 4 | 0x10;

const MNT_DETACH = 2;

const FS_IOC_FSGETXATTR = 0x801c581f;
const FS_IOC_FSSETXATTR = 0x401c5820;
const FS_XFLAG_PROJINHERIT = 0x200;
const PROJECT_ID_OFFSET = 12;
const PRJQUOTA = 2;
const Q_GETQUOTA = 0x800007;
const Q_SETQUOTA = 0x800008;
const QIF_LIMITS = 5;

const libc = koffi.load(null);
const cIoctl = libc.func("int ioctl(int fd, ulong request, void *argument)");
const cClose = libc.func("int close(int fd)");
const cUmount2 = libc.func("int umount2(const char *target, int flags)");
const cMknod = libc.func("int mknod(const char *path, uint mode, ulong device)");
const fsopenCall = libc.func("syscall", "long", ["long", "str", "uint"]);
const fsconfigCall = libc.func("syscall", "long", ["long", "int", "uint", "str", "str", "int"]);
const fsmountCall = libc.func("syscall", "long", ["long", "int", "uint", "uint"]);
const quotactlCall = libc.func("syscall", "long", ["long", "int", "uint", "uint", "void *"]);

function check(result: number | bigint, call: string, subject: string): number {
  const value = Number(result);
  if (value < 0) throw new SyscallError(call, koffi.errno(), subject);
  return value;
}

export function errnoOf(error: unknown): number | undefined {
  if (error instanceof SyscallError) return error.errno;
  const raw = error instanceof Error && "errno" in error ? error.errno : undefined;
  return typeof raw === "number" ? Math.abs(raw) : undefined;
}

/** Closes on another thread: the last close of a mount writes everything back first. */
export function closeElsewhere(fd: number): Promise<void> {
  return elsewhere("close", String(fd), (done) => cClose.async(fd, done));
}

export function unmountElsewhere(path: string): Promise<void> {
  return elsewhere("umount2", path, (done) => cUmount2.async(path, MNT_DETACH, done));
}

type Done = (error: Error | null, result: number | bigint) => void;

function elsewhere(call: string, subject: string, start: (done: Done) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start((error, result) => {
      if (error !== null) reject(error);
      else if (Number(result) < 0) reject(new SyscallError(call, koffi.errno(), subject));
      else resolve();
    });
  });
}

export interface Loop {
  /** Open: while it is, the device stays bound; a mount of it holds it too. */
  fd: number;
  path: string;
}

/** Binds a free loop device to an image. It is let go of by the kernel when its last user is gone. */
export function attachLoop(image: { fd: number; path: string }): Loop {
  const control = openSync("/dev/loop-control", "r+");
  try {
    for (let tried = 0; tried < LOOP_TRIES; tried++) {
      const number = check(cIoctl(control, LOOP_CTL_GET_FREE, null), "ioctl LOOP_CTL_GET_FREE", image.path);
      const path = `/dev/loop${number}`;
      const fd = openLoop(path, number);
      const config = Buffer.alloc(LOOP_CONFIG_BYTES);
      config.writeUInt32LE(image.fd, 0);
      config.writeUInt32LE(LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO, LOOP_CONFIG_INFO + LOOP_FLAGS_OFFSET);
      if (cIoctl(fd, LOOP_CONFIGURE, config) >= 0) return { fd, path };
      const errno = koffi.errno();
      closeSync(fd);
      // Somebody else was quicker with this one.
      if (errno !== koffi.os.errno.EBUSY) throw new SyscallError("ioctl LOOP_CONFIGURE", errno, image.path);
    }
    throw new SyscallError("ioctl LOOP_CONFIGURE", koffi.os.errno.EBUSY ?? 16, image.path);
  } finally {
    closeSync(control);
  }
}

function openLoop(path: string, number: number): number {
  try {
    return openSync(path, "r+");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
    // A container's /dev may show fewer of them than the kernel has.
    const device = BigInt((LOOP_MAJOR << 8) | (number & 0xff)) | (BigInt(number & ~0xff) << 12n);
    check(cMknod(path, constants.S_IFBLK | 0o600, device), "mknod", path);
    return openSync(path, "r+");
  }
}

/** The loop device at `path`, opened, if it is bound to the file of that device and inode; else undefined. */
export function openLoopOf(path: string, file: { dev: bigint; ino: bigint }): Loop | undefined {
  let fd: number;
  try {
    fd = openSync(path, "r+");
  } catch {
    // Gone, or just being let go of: not bound any more.
    return undefined;
  }
  const info = Buffer.alloc(LOOP_INFO_BYTES);
  const bound = cIoctl(fd, LOOP_GET_STATUS64, info) >= 0;
  if (bound && info.readBigUInt64LE(0) === file.dev && info.readBigUInt64LE(8) === file.ino) return { fd, path };
  closeSync(fd);
  return undefined;
}

/** Mounts without a place, nosuid, nodev, noatime: the descriptor is all that holds it. May replay a journal. */
export async function mountDetached(options: { type: string; source: string; flags: string[] }): Promise<number> {
  const { type, source, flags } = options;
  const context = check(fsopenCall(SYS_FSOPEN, type, CLOEXEC), "fsopen", type);
  try {
    check(fsconfigCall(SYS_FSCONFIG, context, FSCONFIG_SET_STRING, "source", source, 0), "fsconfig", source);
    for (const flag of flags) {
      const [name = "", value] = flag.split("=");
      const command = value === undefined ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING;
      check(fsconfigCall(SYS_FSCONFIG, context, command, name, value ?? null, 0), "fsconfig", flag);
    }
    await elsewhere("mount", `${type} of ${source}`, (done) =>
      fsconfigCall.async(SYS_FSCONFIG, context, FSCONFIG_CMD_CREATE, null, null, 0, done),
    );
    return check(fsmountCall(SYS_FSMOUNT, context, CLOEXEC, MOUNT_NOSUID_NODEV_NOATIME), "fsmount", source);
  } finally {
    closeSync(context);
  }
}

/** The project of an open file or directory; 0 is none. */
export function projectOf(fd: number, subject: string): number {
  const attributes = Buffer.alloc(28);
  check(cIoctl(fd, FS_IOC_FSGETXATTR, attributes), "ioctl FSGETXATTR", subject);
  return attributes.readUInt32LE(PROJECT_ID_OFFSET);
}

/** Puts an open file or directory into a project; what is made in such a directory is in it too. */
export function setProject(fd: number, options: { project: number; directory: boolean; subject: string }): void {
  const { project, directory, subject } = options;
  const attributes = Buffer.alloc(28);
  check(cIoctl(fd, FS_IOC_FSGETXATTR, attributes), "ioctl FSGETXATTR", subject);
  if (directory) attributes.writeUInt32LE((attributes.readUInt32LE(0) | FS_XFLAG_PROJINHERIT) >>> 0, 0);
  attributes.writeUInt32LE(project, PROJECT_ID_OFFSET);
  check(cIoctl(fd, FS_IOC_FSSETXATTR, attributes), "ioctl FSSETXATTR", subject);
}

export interface ProjectUse {
  /** 0: no limit. */
  limitBytes: number;
  limitInodes: number;
  bytes: number;
  inodes: number;
}

/** What a project may take and takes, from the kernel's own counters. `fd` is anything open on that file system. */
export function projectUse(fd: number, project: number): ProjectUse {
  const block = Buffer.alloc(72);
  const result = Number(quotactlCall(SYS_QUOTACTL_FD, fd, (Q_GETQUOTA << 8) | PRJQUOTA, project, block));
  if (result < 0) {
    const errno = koffi.errno();
    // XFS says so of a project that has no limit; ext4 gives zeros.
    if (errno !== koffi.os.errno.ENOENT) throw new SyscallError("quotactl Q_GETQUOTA", errno, `project ${project}`);
  }
  const at = (offset: number) => Number(block.readBigUInt64LE(offset));
  return { limitBytes: at(0) * 1024, bytes: at(16), limitInodes: at(24), inodes: at(40) };
}

/** Limits a project; zeros take the limit away. */
export function limitProject(fd: number, project: number, limit: { bytes: number; inodes: number }): void {
  const block = Buffer.alloc(72);
  const kib = limit.bytes === 0 ? 0n : BigInt(Math.max(1, Math.ceil(limit.bytes / 1024)));
  block.writeBigUInt64LE(kib, 0);
  block.writeBigUInt64LE(kib, 8);
  block.writeBigUInt64LE(BigInt(limit.inodes), 24);
  block.writeBigUInt64LE(BigInt(limit.inodes), 32);
  block.writeUInt32LE(QIF_LIMITS, 64);
  const command = (Q_SETQUOTA << 8) | PRJQUOTA;
  check(quotactlCall(SYS_QUOTACTL_FD, fd, command, project, block), "quotactl Q_SETQUOTA", `project ${project}`);
}
