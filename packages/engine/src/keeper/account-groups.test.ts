import { afterEach, describe, expect, it } from "vitest";
import { AccountGroups, inCgroup } from "./account-groups.ts";
import { cgroupExists, cgroupsBelow, cgroupsWritable, removeCgroup } from "./cgroup.ts";

const parent = `/holdfast-t${process.pid}`;
const canMake = process.getuid?.() === 0 && cgroupsWritable(parent);
/** As the runtime does it. */
const make = (path: string) => expect(cgroupsWritable(path)).toBe(true);

describe.skipIf(!canMake)("cgroups of accounts", () => {
  afterEach(() => removeCgroup(parent));

  it("go with their last sandbox, however often it leaves", async () => {
    const groups = new AccountGroups(parent);
    const paths = ["sb-1", "sb-2"].map((id) => groups.join(7, id));
    for (const path of paths) make(path);
    await removeCgroup(paths[0] ?? "");
    groups.leave(7, "sb-1");
    groups.leave(7, "sb-1");
    expect(cgroupExists(`${parent}/account-7`)).toBe(true);
    expect(() => groups.leave(7, "sb-2")).toThrow(/EBUSY|ENOTEMPTY/);
    await removeCgroup(paths[1] ?? "");
    groups.leave(7, "sb-2");
    expect(cgroupsBelow(parent)).toEqual([]);
  });

  it("stay when one sandbox leaves late and another has come meanwhile", () => {
    const groups = new AccountGroups(parent);
    groups.leave(7, groups.join(7, "sb-1"));
    const path = groups.join(7, "sb-2");
    make(path);
    groups.leave(7, "sb-1");
    expect(cgroupExists(path)).toBe(true);
  });

  it("of an earlier keeper are found, those of an earlier release beside them, and empty ones are removed", () => {
    for (const path of ["account-7/sb-1", "account-8/bld-2", "sb-old", "account-9"]) make(`${parent}/${path}`);
    const groups = new AccountGroups(parent);
    expect(groups.found().toSorted()).toEqual(["bld-2", "sb-1", "sb-old"]);
    expect(cgroupExists(`${parent}/account-9`)).toBe(false);
    expect(["sb-1", "sb-old", "sb-gone"].map((id) => groups.find(id))).toEqual([
      `${parent}/account-7/sb-1`,
      `${parent}/sb-old`,
      `${parent}/sb-gone`,
    ]);
  });
});

it("the runtime is given the keeper's cgroup, and everything else as it was", () => {
  const config = { hostname: "box", linux: { cgroupsPath: "/engine/sb-1", seccomp: 1 } };
  expect(inCgroup(config, "/account-7/sb-1")).toEqual({
    hostname: "box",
    linux: { cgroupsPath: "/account-7/sb-1", seccomp: 1 },
  });
});
