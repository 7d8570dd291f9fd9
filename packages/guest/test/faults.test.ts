import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { causeFault } from "../../testkit/src/fault.ts";
import { TestGuest } from "./_guest.ts";

test("a fault that nobody handled ends no session of the sandbox: it is logged, and the guest goes on", async () => {
  await using guest = new TestGuest();
  guest.start({ session: "sesn_1", process: "prc_1" }, ["sh", "-c", 'while read -r line; do echo "got $line"; done']);
  const client = await guest.client();
  await client.subscribe("prc_1");
  for (const kind of ["reject", "throw"] as const) {
    await causeFault(client.hello.pid, kind, `a test's ${kind}`);
    await client.stdin(kind, kind);
    await client.waitText("prc_1", `got ${kind}\n`);
  }
  const log = () => readFileSync(join(guest.runDir, "guest.log"), "utf8");
  await expect.poll(log).toMatch(/"fault":"unhandled_rejection".*\n(.*\n)*.*"fault":"uncaught_exception"/);
});
