import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { faultExitCode } from "@holdfast/std";
import { expect, test } from "vitest";
import { causeFault } from "../../testkit/src/fault.ts";

const main = fileURLToPath(new URL("./main.ts", import.meta.url));

/** A command that waits for its server's answer, which comes when it is let come. */
async function waiting() {
  const gate = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  const server = createServer((_request, response) => {
    asked.resolve();
    gate.promise.then(
      () => response.setHeader("content-type", "application/json").end('{"version":"0.0.0"}'),
      () => response.destroy(),
    );
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const args = ["--disable-warning=ExperimentalWarning", main, "sandboxes", "--server", url];
  const child = spawn(process.execPath, args, {
    env: { PATH: process.env.PATH ?? "", HOLDFAST_API_KEY: "hf_x" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const said = Promise.all([text(child.stdout), text(child.stderr)]);
  const ended = once(child, "exit") as Promise<[number | null]>;
  await asked.promise;
  return { child, gate, said, ended, server };
}

test.each(["reject", "throw"] as const)(
  "a fault that nobody handled (%s) is said in words, and is no success",
  async (kind) => {
    const { child, gate, said, ended, server } = await waiting();
    try {
      await causeFault(Number(child.pid), kind, `a test's ${kind}`);
      if (kind === "reject") gate.resolve();
      const [code] = await ended;
      const [, err] = await said;
      expect(err).toContain(`Something broke inside Holdfast: a test's ${kind}. Report this`);
      expect(err).not.toMatch(/^\s+at /m);
      expect(code).not.toBe(0);
      if (kind === "throw") expect(code).toBe(faultExitCode);
    } finally {
      child.kill("SIGKILL");
      server.closeAllConnections();
      server.close();
    }
  },
);
