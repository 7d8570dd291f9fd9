import { expect, test } from "vitest";
import { diskLimitPoints } from "./machine.ts";

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

function stringified({ verdict, text }: { verdict: string; text: RegExp }) {
  return { verdict, text: expect.stringMatching(text) };
}
