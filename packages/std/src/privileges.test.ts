import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { dropPrivileges } from "./privileges.ts";

const user = 61_099;
let dataDir: string;
let outside: string;
beforeEach(() => {
  const directory = fs.mkdtempSync(join(tmpdir(), "privileges-"));
  // Whoever the process becomes must be able to pass.
  fs.chmodSync(directory, 0o711);
  dataDir = join(directory, "data");
  outside = join(directory, "outside");
  fs.writeFileSync(outside, "root's");
});
afterEach(() => fs.rmSync(join(dataDir, ".."), { recursive: true }));

/** In a process of its own: there is no way back. Gives what that process can say of itself. */
function drop(options: object): Record<string, unknown> {
  const program = `
    import fs from "node:fs";
    import { dropPrivileges } from ${JSON.stringify(new URL("./privileges.ts", import.meta.url).href)};
    const path = dropPrivileges({ process, fs }, ${JSON.stringify(options)});
    fs.writeFileSync(path + "/new", "");
    let rootAgain = true;
    try { process.setuid(0); } catch { rootAgain = false; }
    console.log(JSON.stringify({ path, rootAgain, uid: process.getuid(), gid: process.getgid(), groups: process.getgroups() }));
  `;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", program], { encoding: "utf8" });
  if (stdout === "") throw new Error(stderr);
  return JSON.parse(stdout) as Record<string, unknown>;
}

const ownerOf = (...path: string[]) => fs.lstatSync(join(dataDir, ...path)).uid;
const modeOf = (...path: string[]) => fs.lstatSync(join(dataDir, ...path)).mode & 0o777;

test.skipIf(process.getuid?.() !== 0)("the process and all of its directory become the user's, for good", () => {
  fs.mkdirSync(join(dataDir, "a/b"), { recursive: true });
  fs.writeFileSync(join(dataDir, "a/b/file"), "");
  fs.symlinkSync(outside, join(dataDir, "link"));
  const after = { path: dataDir, rootAgain: false, uid: user, gid: user, groups: [user] };
  expect(drop({ dataDir, uid: user })).toEqual(after);
  for (const path of ["", "a", "a/b", "a/b/file", "link", "new"]) expect(ownerOf(path), path).toBe(user);
  expect(fs.statSync(outside).uid).toBe(0);
  expect(modeOf()).toBe(0o700);
  expect(modeOf("new")).toBe(0o600);
  // What root has put there since is given, too.
  fs.writeFileSync(join(dataDir, "by-root"), "");
  expect(drop({ dataDir, uid: user })).toEqual(after);
  expect(ownerOf("by-root")).toBe(user);
});

test.skipIf(process.getuid?.() !== 0)("a directory that was given only in part is given whole the next time", () => {
  fs.mkdirSync(join(dataDir, "a/b"), { recursive: true });
  fs.writeFileSync(join(dataDir, "a/b/file"), "");
  const cut = () => {
    throw new Error("cut off");
  };
  const chowns: string[] = [];
  const failing = {
    ...fs,
    lchownSync: (path: string) => (chowns.push(path) > 1 ? cut() : fs.lchownSync(path, user, user)),
  };
  const root = { umask: () => 0, getuid: () => 0, chdir: () => undefined };
  expect(() => dropPrivileges({ process: root, fs: failing }, { dataDir, uid: user, gid: user })).toThrow("cut off");
  expect(ownerOf("a")).toBe(0);
  drop({ dataDir, uid: user });
  for (const path of ["", "a", "a/b", "a/b/file"]) expect(ownerOf(path), path).toBe(user);
});

test.skipIf(process.getuid?.() !== 0)(
  "a directory behind a closed one: said with its remedy, or entered before",
  () => {
    fs.chmodSync(join(dataDir, ".."), 0o700);
    expect(() => drop({ dataDir, uid: user })).toThrow(/cannot be entered as uid 61099.*mode 711/);
    expect(drop({ dataDir, uid: user, enter: true })).toMatchObject({ path: ".", uid: user });
    expect(ownerOf("new")).toBe(user);
  },
);

test("without a user, or without root's rights, nobody becomes anybody", () => {
  const calls: string[] = [];
  const becoming = () => calls.push("became");
  const umask = () => calls.push("umask");
  const process = { umask, getuid: () => 1000, chdir: becoming, setuid: becoming, setgid: becoming };
  const asRoot = { ...process, getuid: () => 0 };
  expect(dropPrivileges({ process, fs }, { dataDir, uid: user, gid: undefined })).toBe(dataDir);
  expect(dropPrivileges({ process: asRoot, fs }, { dataDir, uid: undefined, gid: 1 })).toBe(dataDir);
  expect(calls).toEqual(["umask", "umask"]);
  expect(modeOf()).toBe(0o700);
});

test.skipIf(process.getuid?.() !== 0)("a link in the directory's place is not followed: said with its remedy", () => {
  const elsewhere = join(dataDir, "../elsewhere");
  fs.mkdirSync(elsewhere, { mode: 0o755 });
  fs.symlinkSync(elsewhere, dataDir);
  expect(() => drop({ dataDir, uid: user })).toThrow(/a link.*chown -R 61099:61099/);
  // It is as it was: whoever can make links there must not have root give or close what they lead to.
  expect([fs.statSync(elsewhere).uid, fs.statSync(elsewhere).mode & 0o777]).toEqual([0, 0o755]);
  // The operator has done as the error says.
  fs.chownSync(elsewhere, user, user);
  expect(drop({ dataDir, uid: user })).toMatchObject({ path: dataDir, uid: user });
  expect(fs.statSync(join(elsewhere, "new")).uid).toBe(user);
  expect(fs.statSync(elsewhere).mode & 0o777).toBe(0o700);
});

/** A machine in memory: directories with what is in them, owners by path, and what was done in which order. */
function pretend(tree: Record<string, readonly string[]>, owners: Record<string, number> = {}) {
  const done: string[] = [];
  const note = (...words: unknown[]): void => {
    done.push(words.join(" "));
  };
  const process = {
    umask: (mask: number) => note("umask", mask.toString(8)),
    chdir: (path: string) => note("chdir", path),
    getuid: () => 0,
    setgroups: (groups: readonly number[]) => note("setgroups", groups),
    setgid: (id: number) => note("setgid", id),
    setuid: (id: number) => note("setuid", id),
  };
  const files = {
    mkdirSync: (path: string, { mode }: { mode: number }) => note("mkdir", path, mode.toString(8)),
    chmodSync: (path: string, mode: number) => note("chmod", path, mode.toString(8)),
    lchownSync: (path: string, uid: number, gid: number) => note("chown", path, uid, gid),
    lstatSync: (path: string) => ({ uid: owners[path] ?? 0, isDirectory: () => path in tree }),
    readdirSync: (path: string) => [...(tree[path] ?? [])],
    accessSync: (path: string) => note("access", path),
  };
  return { done, process, files };
}

test("everything is given while the process may, and the user is the last thing that it becomes", () => {
  const { done, process, files } = pretend({ "/data": ["file"] });
  expect(dropPrivileges({ process, fs: files }, { dataDir: "/data", uid: 7, gid: 8, enter: true })).toBe(".");
  expect(done).toEqual([
    "umask 77",
    "mkdir /data 700",
    "chown /data/file 7 8",
    "chown /data 7 8",
    "chdir /data",
    "setgroups 8",
    "setgid 8",
    "setuid 7",
    "chmod . 700",
    "access .",
  ]);
});

test("a group that is not named has the user's number", () => {
  const { done, process, files } = pretend({ "/data": [] });
  dropPrivileges({ process, fs: files }, { dataDir: "/data", uid: 7, gid: undefined });
  expect(done).toContain("chown /data 7 7");
  expect(done).toContain("setgid 7");
});

test("looks at no more than is needed: not into what is the user's already, below the directory itself", () => {
  const tree = {
    "/data": ["given", "new"],
    "/data/given": ["deep"],
    "/data/given/deep": ["millions"],
    "/data/new": ["part", "rest"],
    "/data/new/part": ["millions"],
    "/data/new/rest": ["file"],
  };
  const owners = { "/data": 7, "/data/given": 7, "/data/new/part": 7 };
  const { done, process, files } = pretend(tree, owners);
  dropPrivileges({ process, fs: files }, { dataDir: "/data", uid: 7, gid: 7 });
  expect(done.filter((what) => what.startsWith("chown"))).toEqual([
    "chown /data/given 7 7",
    "chown /data/new/rest/file 7 7",
    "chown /data/new/rest 7 7",
    "chown /data/new 7 7",
    "chown /data 7 7",
  ]);
});

test.each(["setgroups", "setgid", "setuid"] as const)("a process that fails at %s does not go on as root", (step) => {
  const { done, process, files } = pretend({ "/data": [] });
  const refuse = () => {
    throw new Error("EPERM");
  };
  const refusing = { ...process, [step]: refuse };
  expect(() => dropPrivileges({ process: refusing, fs: files }, { dataDir: "/data", uid: 7, gid: 7 })).toThrow("EPERM");
  expect(done).not.toContain("access /data");
});

test("where there are no users, nothing is given away", () => {
  const { done, process, files } = pretend({ "/data": [] });
  const { umask, chdir } = process;
  dropPrivileges({ process: { umask, chdir }, fs: files }, { dataDir: "/data", uid: 7, gid: 7 });
  expect(done).toEqual(["umask 77", "mkdir /data 700"]);
});

test("the error of a directory that cannot be entered has the system's as its cause", () => {
  const { process, files } = pretend({ "/data": [] });
  const cause = new Error("EACCES");
  const accessSync = () => {
    throw cause;
  };
  const options = { dataDir: "/data", uid: 7, gid: 7 };
  expect(() => dropPrivileges({ process, fs: { ...files, accessSync } }, options)).toThrow(
    expect.objectContaining({ message: expect.stringContaining("/data cannot be entered as uid 7"), cause }),
  );
});
