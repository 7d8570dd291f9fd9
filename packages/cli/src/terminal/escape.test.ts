import { expect, test } from "vitest";
import { Escape } from "./escape.ts";

/** What is sent of these pieces, and the first wish. */
function typed(...pieces: string[]): [string, string | undefined] {
  const seen = new Escape();
  let sent = "";
  for (const piece of pieces) {
    const { bytes, wish } = seen.take(Buffer.from(piece));
    sent += Buffer.from(bytes).toString();
    if (wish !== undefined) return [sent, wish];
  }
  return [sent, undefined];
}

test.each([
  [["ls\r"], "ls\r", undefined],
  [["~."], "", "leave"],
  [["ls\r~."], "ls\r", "leave"],
  [["ls\r", "~", "."], "ls\r", "leave"],
  [["cd ~.\r"], "cd ~.\r", undefined],
  [["cd ~/.x\r"], "cd ~/.x\r", undefined],
  [["\r~~."], "\r~.", undefined],
  [["~/bin/x\r"], "~/bin/x\r", undefined],
  [["~?"], "", "help"],
  [["a\r~?b"], "a\rb", "help"],
  [["~\r", "~."], "~\r", "leave"],
  [["zäh~."], "zäh~.", undefined],
])("%j", (pieces, sent, wish) => {
  expect(typed(...pieces)).toEqual([sent, wish]);
});

test("how it is cut into pieces makes no difference", () => {
  for (const text of ["a\r~~x\r~y\r~?z\r~.", "~a~.\r\r~.~", "\r~\r~~~.\r~."]) {
    for (let size = 1; size <= text.length; size++) {
      const pieces = text.match(new RegExp(`[^]{1,${size}}`, "g")) ?? [];
      const seen = new Escape();
      let sent = "";
      const wishes: string[] = [];
      for (const piece of pieces) {
        const { bytes, wish } = seen.take(Buffer.from(piece));
        sent += Buffer.from(bytes).toString();
        if (wish !== undefined) wishes.push(wish);
        if (wish === "leave") break;
      }
      const whole = new Escape().take(Buffer.from(text));
      expect([sent, wishes.at(-1)], `${JSON.stringify(text)} by ${size}`).toEqual([
        Buffer.from(whole.bytes).toString(),
        whole.wish,
      ]);
    }
  }
});
