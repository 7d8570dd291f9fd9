import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { createTestKit } from "@holdfast/testkit";
import { afterEach, beforeEach, expect, test } from "vitest";
import { cliMain, holdfast, isPrivate, leftovers, processesOf } from "./_machine.ts";

let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "holdfast-up-"));
  chmodSync(dataDir, 0o711);
});
afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

test("a port in use is said, with the way out", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  try {
    const run = await holdfast(["up", "--port", String(port), "--data-dir", dataDir]);
    expect(run.code).toBe(1);
    expect(run.stderr).toContain(`Port ${port} of 127.0.0.1 is not free`);
    expect(run.stderr).toContain("--port");
    expect(run.stderr).not.toMatch(/^\s+at /m);
  } finally {
    server.close();
  }
});

test("a missing tool is named, with the package that brings it", async () => {
  const bin = join(dataDir, "bin");
  mkdirSync(bin);
  symlinkSync(process.execPath, join(bin, "node"));
  const run = await holdfast(["up", "--port", String(await freePort()), "--data-dir", dataDir], { PATH: bin });
  expect(run.code).toBe(1);
  expect(run.stderr).toMatch(/crun|nft|ip\b|unshare/);
  expect(run.stderr).toMatch(/apt-get install|script\/start/);
  expect(run.stderr).not.toMatch(/^\s+at /m);
  expect(processesOf(dataDir)).toEqual([]);
});

test("Ctrl-C ends everything: no process, mount, namespace, link or cgroup is left", async () => {
  const before = leftovers(dataDir);
  {
    await using kit = await createTestKit({ dataDir });
    await kit.turn("Create a file a.txt that says a");
    expect(leftovers(dataDir).processes.length).toBeGreaterThan(3);
  }
  expect(leftovers(dataDir)).toEqual(before);
  expect(isPrivate(join(dataDir, "secrets.json"))).toBe(true);
  for (const part of ["engine", "gateway", "s3", "server", "run"])
    expect(isPrivate(join(dataDir, part)), part).toBe(true);
});

test("what a turn made is there after a stop and a new start", async () => {
  let sessionId: string;
  {
    await using kit = await createTestKit({ dataDir });
    ({ sessionId } = await kit.turn("Create a file kept.txt that says kept"));
  }
  await using kit = await createTestKit({ dataDir });
  const sessions = (await (await kit.fetch(`/v1/sessions/${sessionId}`)).json()) as { error?: { type: string } };
  // A new account was made for this kit: the old one's session is not its own.
  expect(sessions.error?.type).toBe("not_found_error");
});

test("`holdfast up` prints a URL that logs in, a second one on the same data says who has it, SIGINT ends it", async () => {
  const port = await freePort();
  const child = spawn(process.execPath, [cliMain, "up", "--port", String(port), "--data-dir", dataDir], {
    env: { ...process.env, ANTHROPIC_API_KEY: "" },
  });
  const printed: string[] = [];
  const ready = new Promise<void>((resolve) => {
    createInterface({ input: child.stdout }).on("line", (line) => {
      printed.push(line);
      if (line.startsWith("Ctrl-C")) resolve();
    });
  });
  await ready;
  const url = printed.find((line) => line.includes("/login?token="))?.trim() ?? "";
  const login = await fetch(url, { redirect: "manual" });
  expect(login.status).toBe(302);
  expect(login.headers.get("set-cookie")).toMatch(/HttpOnly.*SameSite=Strict|SameSite=Strict.*HttpOnly/i);
  expect(printed.join("\n")).toContain("Scripted demo, not Claude");
  const second = await holdfast(["up", "--port", String(await freePort()), "--data-dir", dataDir]);
  expect(second.code).toBe(1);
  expect(second.stderr).toContain(`process id ${child.pid}`);
  const added = await holdfast(["account", "add", "alice", "--data-dir", dataDir]);
  expect(added.code).toBe(0);
  const key = /API key: (\S+)/.exec(added.stdout)?.[1] ?? "";
  const own = await fetch(`http://127.0.0.1:${port}/v1/status`, { headers: { "x-api-key": key } });
  expect(await own.json()).toMatchObject({ account: { name: "alice" } });
  child.kill("SIGINT");
  const [code] = (await once(child, "exit")) as [number];
  expect(code).toBe(0);
  expect(processesOf(dirname(join(dataDir, "x")))).toEqual([]);
});

test("when the supervisor is killed, its services end too, and a new start works", async () => {
  const port = await freePort();
  const start = async () => {
    const child = spawn(process.execPath, [cliMain, "up", "--port", String(port), "--data-dir", dataDir]);
    for await (const line of createInterface({ input: child.stdout })) if (line.startsWith("Ctrl-C")) break;
    return child;
  };
  const first = await start();
  first.kill("SIGKILL");
  await once(first, "exit");
  await expect
    .poll(() => processesOf(dataDir).filter((line) => /src\/main\.ts/.test(line) && !/keeper|egress/.test(line)), {
      timeout: 20_000,
    })
    .toEqual([]);
  const second = await start();
  second.kill("SIGINT");
  expect((await once(second, "exit"))[0]).toBe(0);
  expect(processesOf(dataDir)).toEqual([]);
});
