import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/**
 * A second kernel, which runs as an ordinary process (Debian's user-mode-linux): it has what this machine's may lack.
 * Its root is this machine's; what it writes must go below `/run` (in its memory) or to its disk at `/run/d`.
 */

const program = "/usr/bin/linux.uml";
const bootMs = 110_000;

/** Why it cannot run here; undefined when it can. */
export function noSecondKernel(): string | undefined {
  if (process.getuid?.() !== 0) return "needs root";
  if (process.arch !== "x64") return "user-mode Linux is built for x86-64 only";
  if (!existsSync(program)) return "needs linux.uml (apt-get install user-mode-linux)";
  return undefined;
}

export interface SecondKernel {
  fileSystem: "ext4" | "xfs";
  /** Whether the disk counts projects: how it is made and mounted. */
  quota: boolean;
  /** A TypeScript file; what it prints after `RESULT ` is the result. */
  script: string;
  args?: string[];
}

const makers = {
  ext4: { bytes: 256 * 2 ** 20, make: ["mkfs.ext4", "-q", "-F"], quota: ["-O", "project,quota"] },
  xfs: { bytes: 512 * 2 ** 20, make: ["mkfs.xfs", "-q", "-f"], quota: [] },
};

const init = (options: SecondKernel) => `#!/bin/sh
export PATH=${dirname(process.execPath)}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/run TMPDIR=/run/d
mount -t proc p /proc; mount -t sysfs s /sys; mount -t tmpfs t /run; mount -t cgroup2 c /sys/fs/cgroup
for m in quota/quota_tree quota/quota_v2 overlayfs/overlay; do busybox insmod /usr/lib/uml/modules/*/kernel/fs/$m.ko; done
mkdir /run/d /run/netns
mount -t ${options.fileSystem} ${options.quota ? "-o prjquota" : ""} /dev/ubda /run/d
cd / && node --disable-warning=ExperimentalWarning ${options.script} ${(options.args ?? []).join(" ")}
echo o >/proc/sysrq-trigger
sleep 60
`;

/** Runs a script in it, with a fresh disk; returns what it printed as its result. */
export async function inSecondKernel(options: SecondKernel): Promise<unknown> {
  const dir = mkdtempSync(join(tmpdir(), "holdfast-uml-"));
  try {
    const { bytes, make, quota } = makers[options.fileSystem];
    const disk = join(dir, "disk.img");
    writeFileSync(disk, "");
    truncateSync(disk, bytes);
    execFileSync(make[0] ?? "", [...make.slice(1), ...(options.quota ? quota : []), disk], { stdio: "ignore" });
    const start = join(dir, "init.sh");
    writeFileSync(start, init(options));
    chmodSync(start, 0o755);
    const said = await boot([`init=${start}`, `ubda=${disk}`]);
    const line = said.split("\n").find((each) => each.includes("RESULT "));
    if (line === undefined) throw new Error(`the second kernel gave no result:\n${said.slice(-4_000)}`);
    return JSON.parse(line.slice(line.indexOf("RESULT ") + 7));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function boot(more: string[]): Promise<string> {
  const args = ["mem=768M", "rootfstype=hostfs", "rw", "con=null", "con0=fd:0,fd:1", "quiet", ...more];
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], detached: true });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (said += chunk.toString()));
  // It is several processes, in a group of their own.
  const end = () => child.pid !== undefined && process.kill(-child.pid, "SIGKILL");
  const timer = setTimeout(end, bootMs);
  try {
    await once(child, "close");
  } finally {
    clearTimeout(timer);
  }
  return said;
}
