import { execFileSync } from "node:child_process";
import {
  chmodSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { pathInside } from "./inside.ts";
import { openLayerStore, removeLeftovers } from "./layer-store.ts";
import { unshiftIds } from "./unshift.ts";
import { asUser, resolveUser } from "./users.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "hf-trees-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));
const signal = new AbortController().signal;

describe("layer store", () => {
  it("makes a layer once, however many ask at the same time", async () => {
    const store = openLayerStore(dir);
    let made = 0;
    const fill = async (directory: string) => {
      made++;
      writeFileSync(join(directory, "file"), "x");
    };
    const paths = await Promise.all([store.ensure("k", fill, signal), store.ensure("k", fill, signal)]);
    expect(paths[0]).toBe(paths[1]);
    expect(made).toBe(1);
    expect(store.has("k")).toBe(true);
    expect(readdirSync(store.path("k"))).toEqual(["file"]);
  });

  it("shows nothing of a layer that failed, and tries again", async () => {
    const store = openLayerStore(dir);
    const fail = async (directory: string) => {
      writeFileSync(join(directory, "half"), "x");
      throw new Error("broke");
    };
    await expect(store.ensure("k", fail, signal)).rejects.toThrow("broke");
    expect(store.has("k")).toBe(false);
    expect(readdirSync(join(dir, "tmp"))).toEqual([]);
    await store.ensure("k", async () => undefined, signal);
    expect(store.has("k")).toBe(true);
  });

  it("goes on for whoever stays, and stops with the last that leaves", async () => {
    const store = openLayerStore(dir);
    const gate = Promise.withResolvers<void>();
    const fill = async (_directory: string, stopped: AbortSignal) => {
      await Promise.race([gate.promise, new Promise((resolve) => stopped.addEventListener("abort", resolve))]);
      stopped.throwIfAborted();
    };
    const [first, second, third] = [new AbortController(), new AbortController(), new AbortController()];
    const one = store.ensure("k", fill, first.signal);
    const two = store.ensure("k", fill, second.signal);
    first.abort(new Error("the first left"));
    await expect(one).rejects.toThrow("the first left");
    second.abort(new Error("the last left"));
    await expect(two).rejects.toThrow("the last left");
    expect(store.has("k")).toBe(false);
    expect(readdirSync(join(dir, "tmp"))).toEqual([]);
    const three = store.ensure("k", fill, third.signal);
    gate.resolve();
    expect(await three).toBe(store.path("k"));
  });

  it("waits for another store that makes the same layer", async () => {
    const [one, two] = [openLayerStore(dir), openLayerStore(dir)];
    const gate = Promise.withResolvers<void>();
    const entered = Promise.withResolvers<void>();
    const first = one.ensure(
      "k",
      async () => {
        entered.resolve();
        await gate.promise;
      },
      signal,
    );
    await entered.promise;
    let again = false;
    const second = two.ensure(
      "k",
      async () => {
        again = true;
      },
      signal,
    );
    gate.resolve();
    expect(await second).toBe(await first);
    expect(again).toBe(false);
  });

  it("removes what dead engines left half made, and only that", async () => {
    openLayerStore(dir);
    mkdirSync(join(dir, "tmp", "999999999-dead", "root"), { recursive: true });
    mkdirSync(join(dir, "tmp", "1-alive", "root"), { recursive: true });
    await removeLeftovers(dir);
    expect(readdirSync(join(dir, "tmp"))).toEqual(["1-alive"]);
  });

  it.skipIf(process.getuid?.() !== 0)(
    "detaches what a killed build left mounted, and never removes through it",
    async () => {
      openLayerStore(dir);
      const precious = join(dir, "precious");
      mkdirSync(precious);
      writeFileSync(join(precious, "file"), "kept");
      const mountPoint = join(dir, "tmp", "999999999-dead", "made", "dev shm");
      mkdirSync(mountPoint, { recursive: true });
      execFileSync("mount", ["--bind", precious, mountPoint]);
      await removeLeftovers(dir);
      expect(readdirSync(join(dir, "tmp"))).toEqual([]);
      expect(readFileSync(join(precious, "file"), "utf8")).toBe("kept");
      expect(readFileSync("/proc/self/mounts", "utf8")).not.toContain(dir);
    },
  );
});

describe("pathInside", () => {
  it("never leads through a link or upwards", () => {
    symlinkSync("/etc", join(dir, "etc"));
    mkdirSync(join(dir, "usr"));
    expect(pathInside(dir, "etc/passwd")).toBeUndefined();
    expect(pathInside(dir, "usr/../etc/passwd")).toBeUndefined();
    expect(pathInside(dir, "/usr/x")).toBe(join(dir, "usr/x"));
    expect(pathInside(dir, "none/x")).toBeUndefined();
  });
});

describe("resolveUser", () => {
  it("reads the topmost passwd, by name, number and group, and refuses a planted link", () => {
    const [top, low, evil] = [join(dir, "top"), join(dir, "low"), join(dir, "evil")];
    for (const layer of [top, low]) mkdirSync(join(layer, "etc"), { recursive: true });
    writeFileSync(join(low, "etc/passwd"), "root:x:0:0::/root:/bin/sh\nold:x:7:7::/:/bin/sh\n");
    writeFileSync(join(top, "etc/passwd"), "root:x:0:0::/root:/bin/sh\nbob:x:1001:1002::/home/bob:/bin/sh\n");
    writeFileSync(join(low, "etc/group"), "staff:x:50:\n");
    const layers = [top, low];
    expect(resolveUser(layers, "bob")).toEqual({ uid: 1001, gid: 1002, name: "bob", home: "/home/bob" });
    expect(resolveUser(layers, "1001:staff")).toMatchObject({ uid: 1001, gid: 50 });
    expect(resolveUser(layers, "4711")).toEqual({ uid: 4711, gid: 0, name: undefined, home: "/" });
    expect(resolveUser(layers, "old")).toBeUndefined();
    expect(resolveUser(layers, "bob:nogroup")).toBeUndefined();
    mkdirSync(join(evil, "etc"), { recursive: true });
    symlinkSync("/etc/passwd", join(evil, "etc/passwd"));
    expect(resolveUser([evil, low], "root")).toBeUndefined();
  });

  it("changes the user through setpriv, root stays as it is", () => {
    expect(asUser({ uid: 0, gid: 0, name: "root", home: "/root" }, ["x"])).toEqual(["x"]);
    const args = asUser({ uid: 5, gid: 6, name: undefined, home: "/" }, ["x"]);
    expect(args).toEqual(["setpriv", "--reuid=5", "--regid=6", "--clear-groups", "--", "x"]);
  });
});

describe.skipIf(process.getuid?.() !== 0)("unshiftIds (as root)", () => {
  it("gives plain ids back, keeps setuid and foreign ids, follows no link", async () => {
    const base = 1_000_000_000;
    const outside = join(dir, "outside");
    const tree = join(dir, "tree");
    mkdirSync(join(tree, "sub"), { recursive: true });
    writeFileSync(outside, "");
    writeFileSync(join(tree, "sub/tool"), "");
    symlinkSync(outside, join(tree, "link"));
    writeFileSync(join(tree, "own"), "");
    lchownSync(outside, base + 5, base + 5);
    lchownSync(join(tree, "sub"), base, base);
    lchownSync(join(tree, "sub/tool"), base + 1000, base + 1000);
    chmodSync(join(tree, "sub/tool"), 0o4755);
    lchownSync(join(tree, "link"), base + 7, base + 7);
    lchownSync(join(tree, "own"), 65_536, 65_536);
    await unshiftIds(tree, base);
    expect(statSync(join(tree, "sub")).uid).toBe(0);
    expect(statSync(join(tree, "sub/tool"))).toMatchObject({ uid: 1000, gid: 1000, mode: 0o104755 });
    expect(lstatSync(join(tree, "link")).uid).toBe(7);
    expect(statSync(join(tree, "own")).uid).toBe(0);
    expect(statSync(outside).uid).toBe(base + 5);
  });
});
