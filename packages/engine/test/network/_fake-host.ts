import { spawn, spawnSync } from "node:child_process";
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { chmodSync, closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import type { Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import koffi from "koffi";
import { bindInNamespace, inNamespace } from "../../src/network/native.ts";

const setns = koffi.load("libc.so.6").func("int setns(int fd, int kind)");

export const hostAddress = "203.0.113.1";
export const outsideAddress = "203.0.113.10";
export const otherOutsideAddress = "203.0.113.11";
/** On an interface without a carrier: no list of running interfaces names it, yet the host answers on it. */
export const carrierlessAddress = "198.51.100.1";

export function ip(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync("ip", args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`ip ${args.join(" ")}: ${stderr}`);
  return stdout;
}

/** A machine made of two namespaces: "host", where this process then lives, and "outside", the rest of the world. */
export interface FakeHost extends Disposable {
  dir: string;
  resolvConfPath: string;
  /** Listens on every address of the outside. */
  listenOutside(server: Server, port: number): void;
  udpOutside(port: number): UdpSocket;
  /** Everything of the real machine's and the fake host's network that we must not touch. */
  snapshot(): Record<string, string>;
}

export function createFakeHost(): FakeHost {
  const host = `hft${process.pid}-host`;
  const outside = `hft${process.pid}-out`;
  const dir = mkdtempSync(join(tmpdir(), "holdfast-network-"));
  // Egress reads its resolver configuration without privilege, as /etc/resolv.conf.
  chmodSync(dir, 0o755);
  const resolvConfPath = join(dir, "resolv.conf");
  writeFileSync(resolvConfPath, `nameserver ${outsideAddress}\n`);
  for (const name of [host, outside]) {
    ip("netns", "add", name);
    ip("-n", name, "link", "set", "lo", "up");
  }
  ip("-n", host, "link", "add", "up0", "type", "veth", "peer", "name", "in0", "netns", outside);
  ip("-n", host, "addr", "add", `${hostAddress}/24`, "dev", "up0");
  ip("-n", outside, "addr", "add", `${outsideAddress}/24`, "dev", "in0");
  ip("-n", outside, "addr", "add", `${otherOutsideAddress}/24`, "dev", "in0");
  // One end of a pair whose other end is down.
  ip("-n", host, "link", "add", "idle0", "type", "veth", "peer", "name", "idle1");
  // No addresses that settle by themselves: snapshots must not change under us.
  for (const [name, link] of [
    [host, "up0"],
    [outside, "in0"],
    [host, "idle0"],
  ] as const) {
    ip("-n", name, "link", "set", link, "addrgenmode", "none");
  }
  ip("-n", host, "link", "set", "up0", "up");
  ip("-n", outside, "link", "set", "in0", "up");
  ip("-n", host, "route", "add", "default", "via", outsideAddress);
  ip("-n", host, "addr", "add", `${carrierlessAddress}/24`, "dev", "idle0");
  ip("-n", host, "link", "set", "idle0", "up");

  const home = openSync("/proc/thread-self/ns/net", "r");
  const enter = (fd: number) => {
    if (setns(fd, 0x40000000) !== 0) throw new Error("setns failed");
  };
  const hostFd = openSync(`/run/netns/${host}`, "r");
  enter(hostFd);
  closeSync(hostFd);
  const open: { close(): unknown }[] = [];
  return {
    dir,
    resolvConfPath,
    listenOutside(server, port) {
      open.push(server);
      // Without an address `listen` makes its socket at once, hence in that namespace.
      inNamespace(`/run/netns/${outside}`, () => server.listen(port));
    },
    udpOutside(port) {
      const socket = udpIn(`/run/netns/${outside}`, port);
      open.push(socket);
      return socket;
    },
    snapshot() {
      return { ...snapshotHere("fake host"), ...inNamespace(`/proc/self/fd/${home}`, () => snapshotHere("machine")) };
    },
    [Symbol.dispose]() {
      for (const server of open) server.close();
      enter(home);
      closeSync(home);
      ip("netns", "del", host);
      ip("netns", "del", outside);
      rmSync(dir, { recursive: true });
    },
  };
}

/** A UDP socket inside any namespace. */
export function udpIn(namespacePath: string, port: number): UdpSocket {
  const { tcp, udp } = bindInNamespace(namespacePath, { tcp: port, udp: port });
  closeSync(tcp);
  const socket = createSocket("udp4");
  socket.bind({ fd: udp });
  return socket;
}

function snapshotHere(label: string): Record<string, string> {
  const commands: Record<string, string[]> = {
    ruleset: ["nft", "list", "ruleset"],
    links: ["ip", "-o", "link"],
    addresses: ["ip", "-o", "addr", "show", "scope", "global"],
    rules: ["ip", "rule"],
    routes: ["ip", "route", "show", "table", "all"],
    sysctls: ["sysctl", "-a", "--pattern", "^net\\.(ipv4|ipv6|bridge)\\."],
  };
  return Object.fromEntries(
    Object.entries(commands).map(([name, [file = "", ...args]]) => {
      const { stdout } = spawnSync(file, args, { encoding: "utf8" });
      // These change by themselves.
      const lines = stdout.split("\n").filter((line) => !/stable_secret|tcp_fastopen_key|valid_lft|nd_/.test(line));
      return [`${label}: ${name}`, lines.join("\n")];
    }),
  );
}

export interface Ran {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs a program inside a sandbox's network, with the sandbox's name files when given. */
export async function runInside(
  network: { namespacePath: string; resolvConf?: string; hosts?: string },
  argv: string[],
  options: { dir: string },
): Promise<Ran> {
  const child = spawnInside(network, argv, options);
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  child.stdin.end();
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  return { code, stdout, stderr };
}

const withNameFiles = 'mount --bind "$1" /etc/resolv.conf && mount --bind "$2" /etc/hosts && shift 2 && exec "$@"';

export function spawnInside(
  network: { namespacePath: string; resolvConf?: string; hosts?: string },
  argv: string[],
  options: { dir: string },
) {
  const enter = [`--net=${network.namespacePath}`];
  if (network.resolvConf !== undefined) {
    const [resolvConf, hosts] = [join(options.dir, "inside-resolv.conf"), join(options.dir, "inside-hosts")];
    writeFileSync(resolvConf, network.resolvConf);
    writeFileSync(hosts, network.hosts ?? "");
    enter.push("unshare", "-m", "sh", "-c", withNameFiles, "sh", resolvConf, hosts);
  }
  return spawn("nsenter", [...enter, ...argv], { stdio: ["pipe", "pipe", "pipe"] });
}

/** Polls a condition; for states of the kernel or other processes that nothing announces. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  timeoutMs = 15_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`Waited ${timeoutMs} ms for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
