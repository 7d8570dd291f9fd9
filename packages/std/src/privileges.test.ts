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
