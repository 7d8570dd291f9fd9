import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import {
  ADMIN_TOKEN,
  fakeUpstream,
  MESSAGE_END,
  MESSAGE_START,
  REAL_KEY,
  sse,
  TOKEN_SECRET,
  temporaryDirectory,
  token,
} from "./_kit.ts";

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));

interface Started {
  child: ChildProcessByStdio<null, Readable, Readable>;
  line: Record<string, unknown>;
}

async function run(options: object): Promise<Started> {
  const directory = await temporaryDirectory();
  await chmod(directory, 0o711);
  const file = join(directory, "options.json");
  const full = { dataDir: join(directory, "data"), tokenSecret: TOKEN_SECRET, adminToken: ADMIN_TOKEN, ...options };
  await writeFile(file, JSON.stringify(full), { mode: 0o600 });
  const env = { PATH: process.env.PATH, HOLDFAST_OPTIONS_FILE: file };
  const child = spawn(process.execPath, [MAIN], { env, stdio: ["ignore", "pipe", "pipe"] });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  child.stderr.resume();
  const first: unknown[] = await once(createInterface({ input: child.stdout }), "line");
  return { child, line: JSON.parse(String(first[0])) as Record<string, unknown> };
}

test("says where it listens, serves, and ends on SIGTERM with 0", async () => {
  const { child, line } = await run({ adminPort: 0 });
  expect(line).toMatchObject({ ready: true, mode: "scripted" });
  const response = await fetch(`${String(line.adminUrl)}/admin/status`, {
    headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
  });
  expect(response.status).toBe(200);
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  expect(await exited).toEqual([0, null]);
});

test.runIf(process.getuid?.() === 0)("started as root it becomes the uid it was given, for good", async () => {
  const { child, line } = await run({ uid: 61002, gid: 61002 });
  expect(line).toMatchObject({ ready: true });
  const status = await readFile(`/proc/${child.pid}/status`, "utf8");
  expect(status).toMatch(/^Uid:\t61002\t61002\t61002\t61002$/m);
  expect(status).toMatch(/^Gid:\t61002\t61002\t61002\t61002$/m);
  expect(status).toMatch(/^Groups:\t61002 ?$/m);
});

test("memory stays flat while a long stream passes", async () => {
  const block = sse("content_block_delta", { index: 0, delta: { type: "text_delta", text: "y".repeat(16 * 1024) } });
  const blocks = 20_000;
  const upstream = await fakeUpstream((_req, res) => {
    let left = blocks;
    res.writeHead(200, { "content-type": "text/event-stream" });
    res.write(MESSAGE_START);
    const more = () => {
      while (left-- > 0) {
        if (!res.write(block)) {
          res.once("drain", more);
          return;
        }
      }
      res.end(MESSAGE_END);
    };
    more();
  });
  const { child, line } = await run({ upstream: upstream.url, credential: REAL_KEY });
  const residentMb = async () => {
    const status = await readFile(`/proc/${child.pid}/status`, "utf8");
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
  };
  const before = await residentMb();
  const body = JSON.stringify({ model: "m", max_tokens: 1, stream: true, messages: [] });
  const headers = { "x-api-key": await token() };
  const response = await fetch(`${String(line.url)}/v1/messages`, { method: "POST", headers, body });
  let bytes = 0;
  for await (const chunk of response.body ?? []) bytes += chunk.byteLength;
  expect(bytes).toBeGreaterThan(blocks * 16 * 1024);
  // 330 MB went by.
  expect((await residentMb()) - before).toBeLessThan(120);
});

test("a taken port and wrong options are one line with what, why and what to do", async () => {
  const blocker = createServer();
  await new Promise<void>((resolve) => blocker.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    blocker.close();
  });
  const address = blocker.address();
  const port = address !== null && typeof address === "object" ? address.port : 0;
  const taken = await run({ port });
  expect(taken.line).toMatchObject({ ready: false, error: { why: expect.stringContaining("EADDRINUSE") as string } });
  const wrong = await run({ tokenSecret: "short", adminTokn: "x" });
  expect(wrong.line.ready).toBe(false);
  expect(JSON.stringify(wrong.line)).toMatch(/tokenSecret/);
  if (wrong.child.exitCode === null) await once(wrong.child, "exit");
  expect(wrong.child.exitCode).toBe(1);
});
