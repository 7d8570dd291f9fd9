import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DiskReserve, isNoRoom } from "./disk-reserve.ts";

let dir: string;
let told: string[];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "hf-reserve-"));
  told = [];
});
afterEach(() => rmSync(dir, { recursive: true }));

const make = (bytes: number) =>
  new DiskReserve({ path: join(dir, "reserve"), bytes, tell: (message) => told.push(message) });
const full = () => Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });

describe("the disk's reserve", () => {
  it("takes its room really, not as a hole", () => {
    const reserve = make(1024 * 1024);
    reserve.restore();
    expect(reserve.heldBytes).toBe(1024 * 1024);
    expect(statSync(join(dir, "reserve")).blocks * 512).toBeGreaterThanOrEqual(1024 * 1024);
    expect(told).toEqual([]);
  });

  it("is given up for a write that has no room, once, and the write is repeated", () => {
    const reserve = make(1024 * 1024);
    reserve.restore();
    let tries = 0;
    const written = reserve.withRoom(() => {
      tries += 1;
      if (existsSync(join(dir, "reserve"))) throw full();
      return "written";
    });
    expect([written, tries]).toEqual(["written", 2]);
    expect(told).toHaveLength(1);
    expect(() =>
      reserve.withRoom(() => {
        throw full();
      }),
    ).toThrow(/ENOSPC/);
    expect(told).toHaveLength(1);
  });

  it("is not given up for any other failure", () => {
    const reserve = make(1024 * 1024);
    reserve.restore();
    expect(() =>
      reserve.withRoom(() => {
        throw Object.assign(new Error("EIO"), { code: "EIO" });
      }),
    ).toThrow("EIO");
    expect(reserve.heldBytes).toBe(1024 * 1024);
  });

  it("is not made where it would take more than a third of what is free", () => {
    const reserve = make(Number.MAX_SAFE_INTEGER);
    reserve.restore();
    reserve.check();
    expect(reserve.heldBytes).toBe(0);
    expect(told).toEqual([]);
  });

  it("fails nobody when its directory is gone", () => {
    const reserve = new DiskReserve({ path: join(dir, "gone", "reserve"), bytes: 10, tell: (text) => told.push(text) });
    reserve.restore();
    reserve.check();
    expect(reserve.giveUp()).toBe(false);
    expect(told).toHaveLength(1);
  });
});

it("knows what a full disk says", () => {
  expect(isNoRoom(full())).toBe(true);
  expect(isNoRoom(Object.assign(new Error("EDQUOT"), { code: "EDQUOT" }))).toBe(true);
  expect(isNoRoom(Object.assign(new Error("database or disk is full"), { code: "ERR_SQLITE_ERROR" }))).toBe(true);
  expect(isNoRoom(Object.assign(new Error("no such table"), { code: "ERR_SQLITE_ERROR" }))).toBe(false);
  expect(isNoRoom("ENOSPC")).toBe(false);
});
