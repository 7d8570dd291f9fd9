// What this machine can and cannot do, told before anything is installed. Runs on any Node >= 20 with nothing but its
// built-ins, in well under two seconds. Exit 0: go on; exit 1: at least one point stops Holdfast here.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, statfsSync } from "node:fs";
import { arch, platform, release, totalmem } from "node:os";
import { pathToFileURL } from "node:url";

/** @typedef {{ name: string, verdict: "ok" | "note" | "stop", text: string, way?: string }} Point */

const read = (path) => {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    // Absent on this kernel or not ours to read: the caller decides what that means.
    return "";
  }
};

const runs = (file, args) => {
  try {
    execFileSync(file, args, { stdio: "ignore", timeout: 1500 });
    return true;
  } catch {
    // A refusal is the answer that was asked for.
    return false;
  }
};

/** The machine's facts, apart from the judgement, so that tests can judge machines they do not have. */
export function facts() {
  return {
    platform: platform(),
    arch: arch(),
    kernel: release(),
    osRelease: read("/etc/os-release"),
    wsl: /microsoft/i.test(read("/proc/version")),
    uid: process.getuid?.() ?? 0,
    sudo: runs("sudo", ["-n", "true"]) || existsSync("/usr/bin/sudo"),
    apt: existsSync("/usr/bin/apt-get"),
    container:
      existsSync("/.dockerenv") ||
      existsSync("/run/.containerenv") ||
      /docker|lxc|kubepods/.test(read("/proc/1/cgroup")),
    capabilities: /CapEff:\s*([0-9a-f]+)/.exec(read("/proc/self/status"))?.[1] ?? "0",
    maxUserNamespaces: read("/proc/sys/user/max_user_namespaces"),
    unprivilegedUserns: read("/proc/sys/kernel/unprivileged_userns_clone"),
    apparmorUserns: read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
    overlay: /\boverlay\b/.test(read("/proc/filesystems")) || existsSync(`/lib/modules/${release()}`),
    mountWorks: platform() === "linux" && runs("unshare", ["--mount", "true"]),
    usernsWorks: platform() === "linux" && runs("unshare", ["--user", "--map-root-user", "true"]),
    cgroup: existsSync("/sys/fs/cgroup/cgroup.controllers")
      ? "v2"
      : existsSync("/sys/fs/cgroup/memory")
        ? "v1"
        : "none",
    freeBytes: freeBytes("."),
    memoryBytes: totalmem(),
  };
}

function freeBytes(path) {
  try {
    const stats = statfsSync(path);
    return stats.bavail * stats.bsize;
  } catch {
    // Unknown is not a reason to stop.
    return Number.POSITIVE_INFINITY;
  }
}

const atLeast = (kernel, major, minor) => {
  const [a = 0, b = 0] = kernel.split(/[.-]/).map(Number);
  return a > major || (a === major && b >= minor);
};

/** @returns {Point[]} */
export function judge(f) {
  if (f.platform !== "linux") return [notLinux(f)];
  return [system(f), processor(f), kernel(f), rights(f), namespaces(f), limits(f), space(f)];
}

function notLinux(f) {
  const what = f.platform === "darwin" ? "macOS" : f.platform;
  return {
    name: "system",
    verdict: "stop",
    text: `${what} cannot run the engine: sandboxes are Linux namespaces.`,
    way: "Run it in a Linux machine, for example a Debian VM made with Lima, UTM or Multipass; on Windows use WSL2.",
  };
}

function system(f) {
  const name = /PRETTY_NAME="?([^"\n]*)/.exec(f.osRelease)?.[1] ?? "Linux";
  if (!f.apt)
    return {
      name: "system",
      verdict: "stop",
      text: `${name} has no apt: base images and system packages come from Debian or Ubuntu.`,
      way: "Use Debian 12 or newer, or Ubuntu 22.04 or newer; a VM of one of them will do.",
    };
  if (f.wsl)
    return {
      name: "system",
      verdict: "note",
      text: `${name} under WSL2: works; keep the checkout and the data on the Linux disk, not below /mnt/c.`,
    };
  return { name: "system", verdict: "ok", text: name };
}

function processor(f) {
  if (f.arch === "x64") return { name: "processor", verdict: "ok", text: "x86-64" };
  if (f.arch === "arm64")
    return {
      name: "processor",
      verdict: "note",
      text: "arm64: Node and Claude Code exist for it, but Holdfast's own tests run on x86-64 only.",
    };
  return {
    name: "processor",
    verdict: "stop",
    text: `${f.arch}: Claude Code has no build for it.`,
    way: "Use an x86-64 or arm64 machine.",
  };
}

function kernel(f) {
  if (atLeast(f.kernel, 5, 19))
    return { name: "kernel", verdict: "ok", text: `${f.kernel}: idmapped mounts under overlayfs` };
  return {
    name: "kernel",
    verdict: "stop",
    text: `${f.kernel}: idmapped mounts under overlayfs need 5.19.`,
    way: "Boot a newer kernel: Debian 12, Ubuntu 22.04 with the HWE kernel, or later.",
  };
}

function rights(f) {
  if (f.uid !== 0 && !f.sudo)
    return {
      name: "rights",
      verdict: "stop",
      text: "Not root, and there is no sudo: the engine makes namespaces and mounts.",
      way: "Run this as root, or install sudo and allow your user to use it.",
    };
  if (f.uid === 0 && !f.mountWorks)
    return {
      name: "rights",
      verdict: "stop",
      text: f.container
        ? "Root in a container without the right to mount."
        : "Root without the right to mount (CAP_SYS_ADMIN is missing).",
      way: f.container
        ? "Start the container with --privileged, or use a VM: a sandbox inside needs mount and namespace rights."
        : "Run it where root holds CAP_SYS_ADMIN.",
    };
  return {
    name: "rights",
    verdict: "ok",
    text: f.uid === 0 ? "root, may mount" : "sudo, used for packages and for the engine",
  };
}

function namespaces(f) {
  if (f.maxUserNamespaces === "0")
    return {
      name: "user namespaces",
      verdict: "stop",
      text: "Switched off: user.max_user_namespaces is 0.",
      way: "sysctl -w user.max_user_namespaces=15000",
    };
  if (f.uid === 0 && !f.usernsWorks)
    return {
      name: "user namespaces",
      verdict: "stop",
      text: "The kernel refuses a user namespace even to root.",
      way:
        f.apparmorUserns === "1"
          ? "AppArmor restricts them: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
          : "Allow them in the kernel's or the container's configuration.",
    };
  if (f.uid !== 0 && f.apparmorUserns === "1")
    return {
      name: "user namespaces",
      verdict: "note",
      text: "AppArmor restricts them for users (Ubuntu 24.04); the engine runs as root by sudo and is not concerned.",
    };
  return { name: "user namespaces", verdict: "ok", text: "allowed" };
}

function limits(f) {
  if (f.cgroup === "none")
    return { name: "cgroups", verdict: "note", text: "None mounted: sandboxes run without memory and CPU limits." };
  return { name: "cgroups", verdict: "ok", text: f.cgroup };
}

function space(f) {
  const gib = (bytes) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  if (f.freeBytes < 4 * 2 ** 30)
    return {
      name: "space",
      verdict: "stop",
      text: `${gib(f.freeBytes)} of disk are free; node modules and the sandbox image need 4 GiB.`,
      way: "Free some space, or clone to a larger disk.",
    };
  if (f.memoryBytes < 2 * 2 ** 30)
    return { name: "space", verdict: "note", text: `${gib(f.memoryBytes)} of memory: one sandbox at a time, slowly.` };
  return { name: "space", verdict: "ok", text: `${gib(f.freeBytes)} of disk, ${gib(f.memoryBytes)} of memory` };
}

function print(points) {
  const mark = { ok: "ok  ", note: "note", stop: "STOP" };
  for (const point of points) {
    console.log(`  ${mark[point.verdict]}  ${point.name}: ${point.text}`);
    if (point.way) console.log(`        → ${point.way}`);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const points = judge(facts());
  print(points);
  process.exitCode = points.some((point) => point.verdict === "stop") ? 1 : 0;
}
