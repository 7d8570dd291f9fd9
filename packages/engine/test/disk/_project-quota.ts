import { execFileSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  statfsSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { projectUse } from "../../src/disk/calls.ts";
import { probeDisk } from "../../src/disk/probe.ts";
import { projectOfTree } from "../../src/disk/project.ts";
import type { SandboxMount } from "../../src/runtime/types.ts";
import { Machine } from "../runtime/_machine.ts";
import { mib, scratch } from "./_trees.ts";

/** Run in the second kernel: what project quotas do, to trees and (argument `sandboxes`) to whole sandboxes. */

const limit = { bytes: 8 * mib, inodes: 300 };
const result: Record<string, unknown> = {};

function limitOf(project: number): { limitBytes: number; limitInodes: number; bytes: number; inodes: number } {
  const fd = openSync("/run/d", "r");
  try {
    return projectUse(fd, project);
  } finally {
    closeSync(fd);
  }
}

async function trees(): Promise<void> {
  using home = scratch();
  const made = home.trees("project");
  const path = join(home.dir, "vo-new");
  await made.create(path, limit);
  const tree = await made.open(path, limit);
  const project = projectOfTree(path);
  const { blocks, bsize, files } = statfsSync(path);
  writeFileSync(join(path, "one"), Buffer.alloc(2 * mib));
  execFileSync("sync", ["-f", path]);
  result.new = {
    kind: tree.kind,
    project: project > 0,
    limit: limitOf(project),
    df: blocks * bsize,
    files,
    use: tree.use(),
  };
  await tree.close();
  const larger = await made.open(path, { bytes: 16 * mib, inodes: 600 });
  result.resized = limitOf(project);
  await larger.close();
  await made.remove(path);
  result.removed = { left: readdirSync(home.dir), limit: await untilUnused(project) };
}

/** XFS counts what was removed a little later. */
async function untilUnused(project: number): Promise<ReturnType<typeof limitOf>> {
  for (const until = performance.now() + 10_000; limitOf(project).inodes > 0 && performance.now() < until; )
    await delay(50);
  return limitOf(project);
}

/** A plain tree from before: files, directories, links, pipes; larger than the limit. */
async function oldTree(): Promise<void> {
  using home = scratch();
  const path = join(home.dir, "vo-old");
  mkdirSync(join(path, "deep/er"), { recursive: true });
  for (let i = 0; i < 400; i++) writeFileSync(join(path, "deep", `f${i}`), "x");
  writeFileSync(join(path, "deep/er/large"), Buffer.alloc(10 * mib));
  symlinkSync("nowhere", join(path, "link"));
  execFileSync("mkfifo", [join(path, "pipe")]);
  execFileSync("sync", ["-f", path]);
  const tree = await home.trees("project").open(path, limit);
  const project = projectOfTree(path);
  result.old = { limit: tree.limit, use: tree.use(), inner: projectOfTree(join(path, "deep/er")) === project };
  await tree.close();
}

function volume(machine: Machine, name: string): SandboxMount {
  const source = join(machine.dir, name);
  if (!existsSync(source)) mkdirSync(source);
  return { source, target: `/v/${name}`, readOnly: false, idmapped: true, volume: limit };
}

/** Whole sandboxes: overlay on an idmapped upper, idmapped volumes, user namespaces. */
async function sandboxes(): Promise<void> {
  await using machine = await Machine.start({ disk: { quota: "auto", convertUpTo: limit } });
  const limits = { pids: 100, scratch: limit };
  const a = await machine.create({ limits, mounts: [volume(machine, "full")] });
  const b = await machine.create({ limits, mounts: [volume(machine, "free")] });
  const places: Record<string, unknown> = {};
  for (const dir of ["/", "/v/full"]) {
    const df = await machine.run(a, `df -k ${dir} | tail -1 | awk '{print $2}'`);
    const script = `dd if=/dev/zero of=${dir}/zeros bs=1M count=20 2>&1; wc -c < ${dir}/zeros; rm ${dir}/zeros;
      cd ${dir}; i=0; while echo > f$i; do i=$((i+1)); done 2>&1; echo made $i; rm -f f*`;
    const asRoot = await machine.run(a, script);
    const asUser = await machine.run(
      a,
      `chmod 777 ${dir}; su claudeuser -c 'dd if=/dev/zero of=${dir}/z bs=1M count=20' 2>&1; rm ${dir}/z`,
    );
    places[dir] = { df: Number(df.stdout), asRoot: asRoot.stdout, asUser: asUser.stdout };
  }
  const neighbour = await machine.run(b, "dd if=/dev/zero of=/v/free/mine bs=1M count=4 2>/dev/null && echo good");
  for (const id of [a, b]) await machine.runtime.forget(id);
  result.sandboxes = { kind: machine.runtime.disk?.kind, places, neighbour: neighbour.stdout };
}

try {
  result.probe = await probeDisk("/run/d");
  if ((result.probe as { kind: string }).kind === "project") {
    await trees();
    await oldTree();
    if (process.argv.includes("sandboxes")) await sandboxes();
  }
  result.left = readdirSync("/run/d").filter((name) => name !== "lost+found");
} catch (error) {
  result.error = error instanceof Error ? error.stack : String(error);
}
process.stdout.write(`RESULT ${JSON.stringify(result)}\n`);
