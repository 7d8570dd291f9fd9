import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { TestGuest } from "./_guest.ts";

const ids = ["--uid", "1000", "--gid", "1000"];

/** A sandbox's view: a volume below the volume root, a symlink to it at the mount point, and secrets beside them. */
class World implements AsyncDisposable {
  readonly guest = new TestGuest();
  readonly folder = mkdtempSync(join(tmpdir(), "guest-volumes-"));
  readonly root = join(this.folder, "volumes");
  readonly volume = join(this.root, "vo-1");
  readonly mount = join(this.folder, "workspace");
  readonly secrets = join(this.folder, "secrets");

  constructor() {
    mkdirSync(this.volume, { recursive: true });
    mkdirSync(this.secrets);
    writeFileSync(join(this.secrets, "key"), "secret");
    symlinkSync(this.volume, this.mount);
  }

  run(...args: string[]) {
    const { guest, root } = this;
    const result = guest.run(["permissions", ...ids, "--volume-root", root, "--run-dir", guest.runDir, ...args]);
    return {
      ...result,
      reports:
        result.code === 0
          ? result.stdout
              .trim()
              .split("\n")
              .map((l) => JSON.parse(l))
          : [],
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    spawnSync("umount", ["-l", join(this.volume, "mounted")]);
    rmSync(this.folder, { recursive: true, force: true });
    await this.guest[Symbol.asyncDispose]();
  }
}

function ownerOf(path: string): number {
  return lstatSync(path).uid;
}

test("the directory behind the symlink becomes the user's, the symlink stays root's", async () => {
  await using world = new World();
  mkdirSync(join(world.volume, "a/b"), { recursive: true });
  writeFileSync(join(world.volume, "a/b/file"), "x");
  const result = world.run(world.mount);
  expect(result).toMatchObject({ code: 0, stderr: "" });
  expect(result.reports).toEqual([
    {
      path: world.mount,
      resolved: world.volume,
      entries: 4,
      changed: 4,
      skipped: [],
      durationMs: expect.any(Number),
      fast: false,
    },
  ]);
  for (const path of ["", "a", "a/b", "a/b/file"]) expect(ownerOf(join(world.volume, path))).toBe(1000);
  expect(ownerOf(world.mount)).toBe(0);
});

test("the second time nothing is walked, unless something at the top is wrong", async () => {
  await using world = new World();
  writeFileSync(join(world.volume, "file"), "x");
  expect(world.run(world.mount).reports[0]).toMatchObject({ fast: false, changed: 2 });
  expect(world.run(world.mount).reports[0]).toMatchObject({ fast: true, entries: 0 });
  expect(world.run("--full", world.mount).reports[0]).toMatchObject({ fast: false, entries: 2, changed: 0 });
  writeFileSync(join(world.volume, "uploaded"), "by root");
  expect(world.run(world.mount).reports[0]).toMatchObject({ fast: false, changed: 1 });
  chownSync(world.volume, 0, 0);
  expect(world.run(world.mount).reports[0]).toMatchObject({ fast: false, changed: 1 });
  // Another volume at the same place is not the one that was walked.
  renameSync(world.volume, join(world.root, "vo-0"));
  mkdirSync(world.volume);
  chownSync(world.volume, 1000, 1000);
  mkdirSync(join(world.volume, "deep"));
  chownSync(join(world.volume, "deep"), 1000, 1000);
  writeFileSync(join(world.volume, "deep/wrong"), "x");
  expect(world.run(world.mount).reports[0]).toMatchObject({ fast: false, changed: 1 });
});

test("sessions that start together do not get in each other's way", async () => {
  await using world = new World();
  for (let file = 0; file < 200; file++) writeFileSync(join(world.volume, `file-${file}`), "");
  const { script, runDir } = world.guest;
  const args = [script, "permissions", ...ids, "--volume-root", world.root, "--run-dir", runDir, "--full", world.mount];
  const codes = Array.from({ length: 6 }, async () => (await once(spawn(process.execPath, args), "exit"))[0]);
  expect(await Promise.all(codes)).toEqual(codes.map(() => 0));
});

test("a hostile tree: links, FIFOs, setuid files, foreign hard links, odd names; the secret stays root's", async () => {
  await using world = new World();
  const at = (name: string) => join(world.volume, name);
  symlinkSync(world.secrets, at("to-secrets"));
  symlinkSync(join(world.secrets, "key"), at("to-key"));
  symlinkSync("/proc/self/root/etc", at("to-etc"));
  symlinkSync("..", at("up"));
  spawnSync("mkfifo", [at("fifo")]);
  writeFileSync(at("setuid"), "#!/bin/sh\nid\n");
  chmodSync(at("setuid"), 0o6755);
  linkSync(join(world.secrets, "key"), at("hard-link"));
  writeFileSync(at("own-link"), "mine");
  chownSync(at("own-link"), 1000, 0);
  linkSync(at("own-link"), at("own-link-2"));
  writeFileSync(at("a\nb \u001b[31m"), "x");
  writeFileSync(Buffer.concat([Buffer.from(at("latin-")), Buffer.from([0xe4, 0xff])]), "x");
  mkdirSync(Buffer.concat([Buffer.from(at("dir-")), Buffer.from([0xfe])]));
  writeFileSync(Buffer.concat([Buffer.from(at("dir-")), Buffer.from([0xfe]), Buffer.from("/inner")]), "x");
  const result = world.run(world.mount);
  expect(result).toMatchObject({ code: 0, stderr: "" });
  expect(result.reports[0]).toMatchObject({
    skipped: [{ path: "hard-link", reason: expect.stringContaining("2 hard links") }],
  });
  expect(ownerOf(world.secrets)).toBe(0);
  expect(ownerOf(join(world.secrets, "key"))).toBe(0);
  expect(statSync("/etc").uid).toBe(0);
  for (const name of [
    "to-secrets",
    "to-key",
    "to-etc",
    "up",
    "fifo",
    "setuid",
    "own-link",
    "own-link-2",
    "a\nb \u001b[31m",
  ]) {
    expect(ownerOf(at(name)), name).toBe(1000);
  }
  // Root's setuid program has not become a setuid program of the user's.
  expect(statSync(at("setuid")).mode & 0o6000).toBe(0);
  const wrong = spawnSync("find", [world.volume, "!", "-uid", "1000"]);
  expect(String(wrong.stdout).trim()).toBe(at("hard-link"));
});

test("a link in the place of the volume, or of a directory on the way, is refused or not followed", async () => {
  await using world = new World();
  const outside = join(world.folder, "outside");
  symlinkSync(world.secrets, outside);
  expect(world.run(outside)).toMatchObject({ code: 65, stdout: "" });
  expect(JSON.parse(world.run(outside).stderr)).toMatchObject({ code: "outside_volumes", remedy: expect.any(String) });
  expect(world.run(world.root).code).toBe(65);
  expect(world.run(`${world.volume}/../../secrets`).code).toBe(65);
  symlinkSync(world.secrets, join(world.volume, "inner"));
  expect(world.run(join(world.mount, "inner")).code).toBe(65);
  writeFileSync(join(world.volume, "file"), "x");
  expect(world.run(join(world.mount, "file")).code).toBe(65);
  expect(ownerOf(world.secrets)).toBe(0);
  expect(ownerOf(join(world.secrets, "key"))).toBe(0);
});

test("what is missing, misused or impossible has an exit code of its own and a remedy", async () => {
  await using world = new World();
  expect(world.run(join(world.folder, "nowhere")).code).toBe(66);
  expect(world.run()).toMatchObject({ code: 64 });
  expect(world.guest.run(["permissions", "--uid", "x", "--gid", "1000", "/"])).toMatchObject({ code: 64 });
  const readOnly = join(world.volume, "mounted");
  mkdirSync(readOnly);
  writeFileSync(join(readOnly, "file"), "x");
  spawnSync("mount", ["--bind", readOnly, readOnly]);
  spawnSync("mount", ["-o", "remount,bind,ro", readOnly]);
  // The same file system, mounted read-only in the middle of the volume.
  const result = world.run(world.mount);
  expect(result).toMatchObject({ code: 70, stdout: "" });
  expect(JSON.parse(result.stderr)).toMatchObject({
    code: "not_changed",
    message: expect.stringContaining("read-only"),
  });
});

test("another file system below the volume is not entered", async () => {
  await using world = new World();
  const mounted = join(world.volume, "mounted");
  mkdirSync(mounted);
  spawnSync("mount", ["-t", "tmpfs", "none", mounted]);
  writeFileSync(join(mounted, "file"), "x");
  const result = world.run(world.mount);
  expect(result.reports[0]).toMatchObject({
    skipped: [{ path: "mounted", reason: expect.stringContaining("file system") }],
  });
  expect(ownerOf(join(mounted, "file"))).toBe(0);
});

test("a tree deeper than any path may be long", async () => {
  await using world = new World();
  const depth = 3000;
  const script = `import os
os.chdir(${JSON.stringify(world.volume)})
for _ in range(${depth}):
    os.mkdir("dddd"); open("f","w").close(); os.chdir("dddd")
`;
  expect(spawnSync("python3", ["-c", script]).status).toBe(0);
  const result = world.run(world.mount);
  expect(result).toMatchObject({ code: 0 });
  expect(result.reports[0]).toMatchObject({ entries: 2 * depth + 1, changed: 2 * depth + 1, skipped: [] });
  expect(world.run("--full", world.mount).reports[0]).toMatchObject({ entries: 2 * depth + 1, changed: 0 });
});

test("a tree that is being rearranged under the walk leads nowhere else", async () => {
  await using world = new World();
  // Many in one directory: each is opened long after it was listed.
  const count = 2000;
  for (let i = 0; i < count; i++) mkdirSync(join(world.volume, `d${i}`));
  // Swaps directories with links to the secrets, as fast as it can, until it is stopped.
  const swap = `import os
os.chdir(${JSON.stringify(world.volume)})
while not os.path.exists(${JSON.stringify(join(world.folder, "stop"))}):
    for i in range(${count}):
        os.rename("d%d" % i, "was%d" % i); os.symlink(${JSON.stringify(world.secrets)}, "d%d" % i)
    for i in range(${count}):
        os.unlink("d%d" % i); os.rename("was%d" % i, "d%d" % i)
`;
  const { spawn } = await import("node:child_process");
  const attacker = spawn("python3", ["-c", swap], { stdio: "ignore" });
  const ended = new Promise((resolve) => attacker.once("exit", resolve));
  try {
    for (let round = 0; round < 5; round++) expect([0, 70]).toContain(world.run("--full", world.mount).code);
  } finally {
    writeFileSync(join(world.folder, "stop"), "");
    await ended;
  }
  expect(ownerOf(world.secrets)).toBe(0);
  expect(ownerOf(join(world.secrets, "key"))).toBe(0);
});
