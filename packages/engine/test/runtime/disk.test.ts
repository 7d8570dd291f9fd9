import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { SandboxMount } from "../../src/runtime/types.ts";
import { loopsOf, mib, noImages } from "../disk/_trees.ts";
import { cannotRun, keeperPid, Machine, traces } from "./_machine.ts";

const scratch = { bytes: 64 * mib, inodes: 2_000 };
const all = { bytes: 2 ** 40, inodes: 2 ** 30 };

function volume(machine: Machine, name: string, changes: Partial<SandboxMount["volume"]> = {}): SandboxMount {
  const source = join(machine.dir, name);
  if (!existsSync(source) && !existsSync(`${source}.img`)) mkdirSync(source);
  const limit = { bytes: 32 * mib, inodes: 1_000, ...changes };
  return { source, target: `/v/${name}`, readOnly: false, idmapped: true, volume: limit };
}

describe.skipIf(cannotRun() !== undefined || noImages() !== undefined)("disk of sandboxes, in images", () => {
  let machine: Machine;

  beforeAll(async () => {
    machine = await Machine.start({ disk: { quota: "image", convertUpTo: all } });
  });
  afterAll(() => machine[Symbol.asyncDispose]());
  afterEach(async () => {
    for (const id of await machine.runtime.list()) await machine.runtime.forget(id);
  });

  it("a sandbox fills neither its root nor a volume past the limit, and df tells it", async () => {
    expect(machine.runtime.disk?.kind).toBe("image");
    const id = await machine.create({ limits: { pids: 100, scratch }, mounts: [volume(machine, "full")] });
    const neighbour = await machine.create({ limits: { pids: 100, scratch }, mounts: [volume(machine, "free")] });
    for (const [dir, limit] of [
      ["/", 64],
      ["/v/full", 32],
    ] as const) {
      const [size = 0, inodes = 0] = (
        await machine.run(id, `df -m ${dir} | tail -1 | awk '{print $2}'; df -i ${dir} | tail -1 | awk '{print $2}'`)
      ).stdout
        .trim()
        .split("\n")
        .map(Number);
      expect(size, dir).toBeGreaterThan(limit * 0.75);
      expect(size, dir).toBeLessThanOrEqual(limit);
      expect(inodes, dir).toBeLessThan(limit === 64 ? 2_300 : 1_300);
      const filled = await machine.run(id, `dd if=/dev/zero of=${dir}/zeros bs=1M count=200 2>&1; sync ${dir}/zeros`);
      expect(filled.stdout).toMatch(/No space left on device/);
      const many = `cd ${dir}; rm zeros; i=0; while echo > f$i; do i=$((i+1)); done 2>&1; echo made $i; rm -f f*`;
      const made = await machine.run(id, many);
      expect(made.stdout).toMatch(/No space left on device/);
      expect(Number(/made (\d+)/.exec(made.stdout)?.[1])).toBeLessThan(2_300);
    }
    const beside = await machine.run(neighbour, "dd if=/dev/zero of=/v/free/mine bs=1M count=20 && sync && echo good");
    expect(beside.stdout).toBe("good\n");
    expect((await machine.run(neighbour, "ls -a /v/free")).stdout.split("\n").sort()).toEqual(["", ".", "..", "mine"]);
    for (const each of [id, neighbour]) await machine.runtime.forget(each);
  });

  it("what root makes setuid in a sandbox is setuid nowhere on the host, and no host path is seen inside", async () => {
    const id = await machine.create({ limits: { scratch }, mounts: [volume(machine, "suid")] });
    const done = await machine.run(
      id,
      "for d in / /v/suid; do cp /bin/busybox $d/su; chmod 4755 $d/su; ls -l $d/su; done",
    );
    expect(done.stdout.match(/^-rwsr-xr-x/gm)).toHaveLength(2);
    const found = execFileSync("find", [machine.dir, "-perm", "-4000", "-type", "f"], { encoding: "utf8" });
    expect(found).toBe("");
    expect((await machine.run(id, "cat /proc/self/mountinfo")).stdout).not.toContain(machine.dir);
    await machine.runtime.forget(id);
  });

  it("two sandboxes share a volume, which outlives both with its owners", async () => {
    const mounts = [volume(machine, "shared")];
    const [one, two] = [await machine.create({ mounts }), await machine.create({ mounts })];
    await machine.run(one, "echo of-one > /v/shared/a; chown 1000:1000 /v/shared/a");
    expect((await machine.run(two, "cat /v/shared/a; stat -c %u:%g /v/shared/a")).stdout).toBe("of-one\n1000:1000\n");
    await machine.runtime.forget(one);
    await machine.run(two, "echo more >> /v/shared/a");
    await machine.runtime.forget(two);
    await expect.poll(() => loopsOf(machine.dir)).toEqual([]);
    const three = await machine.create({ mounts });
    expect((await machine.run(three, "cat /v/shared/a")).stdout).toBe("of-one\nmore\n");
    await machine.runtime.forget(three);
  });

  it("what a plain volume held is there when it has become an image", async () => {
    const mounts = [volume(machine, "old")];
    writeFileSync(join(machine.dir, "old", "mine"), "from before");
    const id = await machine.create({ mounts });
    expect((await machine.run(id, "cat /v/old/mine")).stdout).toBe("from before");
    expect(existsSync(join(machine.dir, "old"))).toBe(false);
    await machine.runtime.forget(id);
  });

  it("a volume's directory below its root is made, and no link in it is followed", async () => {
    const whole = await machine.create({ mounts: [volume(machine, "deep")] });
    await machine.run(whole, "ln -s /etc /v/deep/evil");
    await machine.runtime.forget(whole);
    const part = await machine.create({ mounts: [volume(machine, "deep", { subPath: "a/b" })] });
    expect((await machine.run(part, "touch /v/deep/inner && ls /v/deep")).stdout).toBe("inner\n");
    await machine.runtime.forget(part);
    await expect(machine.create({ mounts: [volume(machine, "deep", { subPath: "evil/x" })] })).rejects.toMatchObject({
      code: "precondition",
    });
    await expect.poll(() => loopsOf(machine.dir)).toEqual([]);
  });

  it("a start that fails lets go of everything that was opened for it", async () => {
    const mounts = [volume(machine, "lost")];
    await expect(machine.create({ args: ["/no/such"], mounts, limits: { scratch } })).rejects.toThrow();
    await expect(machine.create({ layers: ["/nowhere"], mounts, limits: { scratch } })).rejects.toThrow();
    await expect.poll(() => loopsOf(machine.dir)).toEqual([]);
    expect(readdirSync(join(machine.stateDir, "sandboxes"))).toEqual([]);
  });

  it("sixty sandboxes, each with two volumes, leave nothing", async () => {
    const pid = keeperPid(machine);
    const descriptors = () => readdirSync(`/proc/${pid}/fd`).length;
    // What others mount on this machine meanwhile shows up there too.
    const own = (line: string) => line.includes(machine.instance) || line.includes("/dev/loop");
    const mountsOf = () => readFileSync(`/proc/${pid}/mounts`, "utf8").split("\n").filter(own).length;
    const mounts = [volume(machine, "x"), volume(machine, "y")];
    const one = async () => {
      const id = await machine.create({ mounts, limits: { scratch } });
      await machine.runtime.forget(id);
      return id;
    };
    await one();
    await expect.poll(() => loopsOf(machine.dir)).toEqual([]);
    const before = { descriptors: descriptors(), mounts: mountsOf() };
    let last = "";
    for (let round = 0; round < 12; round++) last = (await Promise.all([one(), one(), one(), one(), one()]))[0];
    await expect.poll(() => loopsOf(machine.dir)).toEqual([]);
    await expect.poll(() => ({ descriptors: descriptors(), mounts: mountsOf() })).toEqual(before);
    expect(traces(machine, last).filter(isPlace)).toEqual([]);
    const images = readdirSync(join(machine.stateDir, "spare"));
    expect(images.length).toBeLessThanOrEqual(2);
    for (const name of images) {
      expect(statSync(join(machine.stateDir, "spare", name)).blocks * 512).toBeLessThan(8 * mib);
    }
    await expect.poll(() => readdirSync(join(machine.stateDir, "trash"))).toEqual([]);
  }, 120_000);

  it("a keeper that is killed leaves no loop device and no mount, and what was written stays", async () => {
    const mounts = [volume(machine, "kept")];
    const id = await machine.create({ mounts, limits: { scratch } });
    await machine.run(id, "echo written > /v/kept/a; sync");
    process.kill(keeperPid(machine), "SIGKILL");
    const ended = await machine.runtime.waitSandbox(id, { signal: AbortSignal.timeout(20_000) });
    expect(ended.exit?.reason).toBe("lost");
    await expect.poll(() => loopsOf(machine.dir)).toEqual([]);
    expect(traces(machine, id).filter(isPlace)).toEqual([]);
    const again = await machine.create({ mounts, limits: { scratch } });
    expect((await machine.run(again, "cat /v/kept/a")).stdout).toBe("written\n");
    await machine.runtime.forget(again);
  });
});

/** A mount or a cgroup: process ids of this range may be of a test that runs beside. */
function isPlace(trace: string): boolean {
  return !/^\d+$/.test(trace);
}
