import { spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { TestGuest } from "./_guest.ts";

/** A state volume below its volume root, and beside it what is root's alone. */
class World implements AsyncDisposable {
  readonly guest = new TestGuest();
  readonly folder = mkdtempSync(join(tmpdir(), "guest-home-"));
  readonly root = join(this.folder, "volumes");
  readonly volume = join(this.root, "vo-1");
  readonly mount = join(this.folder, "state");
  readonly outside = join(this.folder, "outside");
  readonly home = join(this.volume, "home");

  constructor() {
    mkdirSync(this.volume, { recursive: true });
    mkdirSync(this.outside, { mode: 0o755 });
    // The user comes to it, as it would by a link.
    for (const path of [this.folder, this.root]) chmodSync(path, 0o755);
    symlinkSync(this.volume, this.mount);
  }

  prepare(): { made: boolean; moved: number; error: string | null } {
    const { guest, root, mount } = this;
    const fixed = ["--uid", "1000", "--gid", "1000", "--volume-root", root, "--run-dir", guest.runDir];
    const { code, stdout, stderr } = guest.run(["permissions", ...fixed, "--home", mount, mount]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    return JSON.parse(stdout.trim().split("\n")[1] ?? "");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    spawnSync("umount", ["-l", this.volume]);
    rmSync(this.folder, { recursive: true, force: true });
    await this.guest[Symbol.asyncDispose]();
  }
}

const isUsers = (path: string) => lstatSync(path).uid === 1000 && lstatSync(path).gid === 1000;

test("HOME is made once, the user's, with a link to Claude Code's own", async () => {
  await using world = new World();
  expect(world.prepare()).toMatchObject({ made: true, moved: 0, error: null });
  expect(isUsers(world.home)).toBe(true);
  expect(readlinkSync(join(world.home, ".claude"))).toBe("../.claude");
  writeFileSync(join(world.home, ".npmrc"), "kept");
  writeFileSync(join(world.volume, "later"), "stays");
  expect(world.prepare()).toMatchObject({ made: false, moved: 0, error: null });
  expect(readFileSync(join(world.home, ".npmrc"), "utf8")).toBe("kept");
  expect(existsSync(join(world.volume, "later"))).toBe(true);
});

test("what was HOME before moves into it, over nothing, however often that is cut off", async () => {
  await using world = new World();
  mkdirSync(join(world.volume, ".claude/projects"), { recursive: true });
  mkdirSync(join(world.volume, ".ssh"));
  for (const name of [".ssh/config", ".gitconfig", ".claude.json", "go", ".npmrc"])
    writeFileSync(join(world.volume, name), `old ${name}`);
  writeFileSync(Buffer.concat([Buffer.from(`${world.volume}/`), Buffer.from([0xff, 0x41])]), "not UTF-8");
  // Begun before, and cut off: the link is not there yet.
  mkdirSync(world.home);
  writeFileSync(join(world.home, ".npmrc"), "new");
  expect(world.prepare()).toMatchObject({ made: true, moved: 5, error: null });
  expect(readFileSync(join(world.home, ".ssh/config"), "utf8")).toBe("old .ssh/config");
  expect(readFileSync(join(world.home, ".npmrc"), "utf8")).toBe("new");
  expect(readdirSync(world.volume).sort()).toEqual([".claude", ".npmrc", "home"]);
  expect(readdirSync(join(world.home, ".claude"))).toEqual(["projects"]);
});

for (const [what, put] of [
  ["a link to a directory", (world: World) => symlinkSync(world.outside, world.home)],
  ["a link to nothing", (world: World) => symlinkSync(join(world.outside, "none"), world.home)],
  ["a file", (world: World) => writeFileSync(world.home, "x")],
  ["a FIFO", (world: World) => spawnSync("mkfifo", [world.home])],
] as const) {
  test(`${what} in its place is kept beside it, and nothing outside of the volume is touched`, async () => {
    await using world = new World();
    put(world);
    writeFileSync(join(world.volume, ".gitconfig"), "x");
    expect(world.prepare()).toMatchObject({ made: true, moved: expect.any(Number), error: null });
    expect(lstatSync(world.home).isDirectory()).toBe(true);
    expect(readFileSync(join(world.home, ".gitconfig"), "utf8")).toBe("x");
    expect(readdirSync(world.outside)).toEqual([]);
    expect(readdirSync(world.home).filter((name) => name.startsWith("home.aside-"))).toHaveLength(1);
  });
}

test("a HOME that the user cannot write is told, and root does not write it either", async () => {
  await using world = new World();
  expect(spawnSync("mount", ["-t", "tmpfs", "-o", "size=64k,nr_inodes=3", "tmpfs", world.volume]).status).toBe(0);
  chownSync(world.volume, 1000, 1000);
  for (const name of ["a", "b"]) writeFileSync(join(world.volume, name), "");
  expect(world.prepare()).toMatchObject({ made: false, error: expect.stringContaining("ENOSPC") });
});
