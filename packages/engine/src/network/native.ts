import { closeSync, openSync } from "node:fs";
import koffi from "koffi";
import { NetworkError, reasonOf } from "./network-error.ts";

/** The system calls that Node lacks. */

const CLONE_NEWNET = 0x40000000;
const AF_INET = 2;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_IP = 0;
const IP_TRANSPARENT = 19;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;

const libc = koffi.load("libc.so.6");
const setns = libc.func("int setns(int fd, int kind)");
const socket = libc.func("int socket(int domain, int type, int protocol)");
const setsockopt = libc.func("int setsockopt(int fd, int level, int name, const int *value, uint32_t length)");
const bind = libc.func("int bind(int fd, const uint8_t *address, uint32_t length)");

function check(result: number, call: string): number {
  if (result >= 0) return result;
  const errno = koffi.errno();
  const code = Object.entries(koffi.os.errno).find(([, value]) => value === errno)?.[0] ?? `errno ${errno}`;
  throw Object.assign(new Error(`${call}: ${code}`), { code });
}

/**
 * Runs `work` with this thread inside a network namespace. `work` is synchronous, so nothing else of this process can
 * run meanwhile; sockets made in it stay in that namespace for good.
 */
export function inNamespace<T>(path: string, work: () => T): T {
  const home = openSync("/proc/thread-self/ns/net", "r");
  try {
    const target = openSync(path, "r");
    try {
      check(setns(target, CLONE_NEWNET), `setns ${path}`);
    } finally {
      closeSync(target);
    }
    try {
      return work();
    } finally {
      // Going on in the wrong namespace would give the wrong network to whatever this process does next.
      if (setns(home, CLONE_NEWNET) !== 0) process.abort();
    }
  } finally {
    closeSync(home);
  }
}

function anyAddress(port: number): Buffer {
  const address = Buffer.alloc(16);
  address.writeUInt16LE(AF_INET, 0);
  address.writeUInt16BE(port, 2);
  return address;
}

/** Bound sockets inside `path`: a transparent TCP one (not yet listening) and a UDP one. Call from any namespace. */
export function bindInNamespace(path: string, ports: { tcp: number; udp: number }): { tcp: number; udp: number } {
  try {
    return inNamespace(path, () => {
      const flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
      const tcp = check(socket(AF_INET, SOCK_STREAM | flags, 0), "socket");
      check(setsockopt(tcp, SOL_SOCKET, SO_REUSEADDR, [1], 4), "SO_REUSEADDR");
      check(setsockopt(tcp, SOL_IP, IP_TRANSPARENT, [1], 4), "IP_TRANSPARENT");
      check(bind(tcp, anyAddress(ports.tcp), 16), `bind tcp ${ports.tcp}`);
      const udp = check(socket(AF_INET, SOCK_DGRAM | flags, 0), "socket");
      check(bind(udp, anyAddress(ports.udp), 16), `bind udp ${ports.udp}`);
      return { tcp, udp };
    });
  } catch (error) {
    throw new NetworkError({
      what: `Egress cannot listen in ${path}.`,
      why: `${reasonOf(error)}.`,
      todo: "Is another egress of the same instance still running, and does the engine run as root?",
      cause: error,
    });
  }
}
