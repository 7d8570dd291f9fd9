import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { pathInside } from "./inside.ts";
import { asUser, readImageFile, resolveUser } from "./users.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "hf-users-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

/** A layer with these files. */
function layer(files: Record<string, string>): string {
  const root = mkdtempSync(join(dir, "layer-"));
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(root, path, ".."), { recursive: true });
    writeFileSync(join(root, path), content);
  }
  return root;
}

const passwd = "root:x:0:0:root:/root:/bin/sh\nclaude:x:1000:1001:,,,:/home/claude:/bin/sh\nodd:x:7:8::\n";
const group = "root:x:0:\nstaff:x:50:claude\n";

test("a user is found by name or number, with its group, and a number needs no entry", () => {
  const layers = [layer({ "etc/passwd": passwd, "etc/group": group })];
  expect(resolveUser(layers, "claude")).toEqual({ uid: 1000, gid: 1001, name: "claude", home: "/home/claude" });
  expect(resolveUser(layers, "1000")).toEqual({ uid: 1000, gid: 1001, name: "claude", home: "/home/claude" });
  expect(resolveUser(layers, "claude:staff")).toMatchObject({ uid: 1000, gid: 50 });
  expect(resolveUser(layers, "claude:77")).toMatchObject({ uid: 1000, gid: 77 });
  expect(resolveUser(layers, "4242")).toEqual({ uid: 4242, gid: 0, name: undefined, home: "/" });
  expect(resolveUser(layers, "odd")).toMatchObject({ home: "/" });
  for (const unknown of ["nobody", "claude:nobodies", "x:50", "-1"])
    expect(resolveUser(layers, unknown), unknown).toBeUndefined();
  expect(resolveUser([layer({})], "claude")).toBeUndefined();
});

test("the uppermost layer that has the file counts", () => {
  const upper = layer({ "etc/passwd": "claude:x:2000:2000::/srv:/bin/sh\n" });
  const lower = layer({ "etc/passwd": passwd });
  expect(resolveUser([upper, lower], "claude")).toMatchObject({ uid: 2000 });
  expect(resolveUser([layer({ "etc/group": group }), lower], "claude")).toMatchObject({ uid: 1000 });
});

test("no link of an image leads out of it, wherever in the path it stands", () => {
  const outside = layer({ passwd: "claude:x:0:0::/:/bin/sh\n", "etc/passwd": "claude:x:0:0::/:/bin/sh\n" });
  const file = layer({ "etc/group": group });
  symlinkSync(join(outside, "passwd"), join(file, "etc", "passwd"));
  expect(readImageFile([file], "etc/passwd")).toBeUndefined();
  const directory = layer({ other: "" });
  symlinkSync(join(outside, "etc"), join(directory, "etc"));
  expect(readImageFile([directory], "etc/passwd")).toBeUndefined();
  expect(pathInside(directory, "etc/passwd")).toBeUndefined();
  // A link at the end is the caller's to judge: it is named, not followed.
  expect(pathInside(file, "etc/passwd")).toBe(join(file, "etc", "passwd"));
  for (const path of ["../x", "etc/../../x", "a/b/.."]) expect(pathInside(file, path), path).toBeUndefined();
  expect(pathInside(file, "/etc//./group")).toBe(join(file, "etc", "group"));
  expect(pathInside(file, "missing/group")).toBeUndefined();
  expect(pathInside(file, "etc/group/below a file")).toBeUndefined();
});

test("root runs a command as it is; others through setpriv, with the groups of those who have a name", () => {
  const user = { uid: 1000, gid: 1001, name: "claude", home: "/home/claude" };
  expect(asUser({ uid: 0, gid: 0, name: "root", home: "/root" }, ["id"])).toEqual(["id"]);
  expect(asUser(user, ["id", "-u"])).toEqual("setpriv --reuid=1000 --regid=1001 --init-groups -- id -u".split(" "));
  expect(asUser({ ...user, name: undefined }, ["id"])).toContain("--clear-groups");
});
