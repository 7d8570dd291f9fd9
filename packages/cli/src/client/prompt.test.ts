import { Readable } from "node:stream";
import { maxPromptBytes } from "@holdfast/protocol";
import { expect, test } from "vitest";
import type { CommandContext } from "../command.ts";
import { promptFrom } from "./prompt.ts";

const read = (bytes: Uint8Array) => promptFrom("-", { stdin: Readable.from([bytes]) } as unknown as CommandContext);

test("a text of standard input is read as it is", async () => {
  expect(await read(Buffer.from("größer\n"))).toBe("größer\n");
});

test.each([
  ["bytes that are no UTF-8", Buffer.from([0x67, 0xff, 0xfe]), "not UTF-8"],
  ["half a character at the end", Buffer.from("ü").subarray(0, 1), "not UTF-8"],
  ["more than the server takes", Buffer.alloc(maxPromptBytes + 1, "x"), `${maxPromptBytes} are the most`],
  ["nothing", Buffer.from(" \n"), "is empty"],
])("%s: refused before anything is made", async (_what, bytes, why) => {
  await expect(read(bytes)).rejects.toThrow(why);
});
