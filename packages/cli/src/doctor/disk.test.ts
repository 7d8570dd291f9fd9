import { expect, test } from "vitest";
import { diskLimitPoints, roomPoint } from "./machine.ts";

const project = { why: "the disk was made without", todo: "tune2fs it" };
const image = { why: "no loop devices", todo: "modprobe loop" };

test("hard limits are good, and the better kind is told with what to do for it", () => {
  expect(diskLimitPoints({ kind: "project" })).toMatchObject([{ verdict: "ok", text: /^hard/ }].map(stringified));
  const points = diskLimitPoints({ kind: "image", project });
  expect(points.map(({ verdict }) => verdict)).toEqual(["ok", "note"]);
  expect(points[1]).toMatchObject({ text: expect.stringContaining(project.why), remedy: project.todo });
});

test("soft limits are a note that says why and what to do", () => {
  const [soft, better] = diskLimitPoints({ kind: "soft", project, image });
  expect(soft).toMatchObject({ verdict: "note", text: expect.stringContaining("no loop devices"), remedy: image.todo });
  expect(better?.remedy).toBe(project.todo);
});

test("what is free and what is kept is told, and a shortage is a problem with what to do", () => {
  const gib = 2 ** 30;
  const room = {
    freeDisk: 9 * gib,
    pendingDisk: 0,
    diskReserve: 2 * gib,
    freeMemory: 3 * gib,
    memoryReserve: gib,
    memoryLeast: gib / 2,
  };
  expect(roomPoint(room)).toMatchObject({
    verdict: "ok",
    text: expect.stringContaining("9.0 GiB of disk free, 2.0 kept"),
  });
  for (const short of [{ freeDisk: gib }, { freeMemory: gib / 2 }]) {
    const point = roomPoint({ ...room, ...short });
    expect(point).toMatchObject({ verdict: "problem", remedy: expect.stringContaining("engine.keepFree") });
  }
});

function stringified({ verdict, text }: { verdict: string; text: RegExp }) {
  return { verdict, text: expect.stringMatching(text) };
}
