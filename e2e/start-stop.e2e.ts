import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { createTestKit, eventsOf, imageCacheDir, leftovers, processesOf, type TestAccount } from "@holdfast/testkit";
import { freePort } from "@holdfast/testkit/free-port";
import { afterEach, beforeEach, expect, test } from "vitest";
import { cliMain, holdfast, isPrivate, runProgram } from "./_machine.ts";

let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "holdfast-up-"));
  chmodSync(dataDir, 0o711);
});
afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

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

test.each([
  ["/usr/bin/crun", /crun/],
  ["/usr/sbin/nft", /nft/],
  ["/usr/bin/mmdebstrap", /mmdebstrap/],
])("a missing tool (%s) is named, with the package that brings it", async (tool, named) => {
  // Hidden in a mount namespace of its own; the machine keeps it.
  const command = `mount --bind /dev/null ${tool} && exec "$@"`;
  const up = [process.execPath, cliMain, "up", "--port", String(await freePort()), "--data-dir", dataDir];
  const run = await runProgram("unshare", ["--mount", "sh", "-c", command, "sh", ...up]);
  expect(run.code).toBe(1);
  expect(run.stderr).toMatch(named);
  expect(run.stderr).toMatch(/apt(-get)? install|script\/start/);
  expect(run.stderr).not.toMatch(/^\s+at /m);
  expect(processesOf(dataDir)).toEqual([]);
});

test("Ctrl-C ends everything: no process, mount, namespace, link or cgroup is left", async () => {
  let instance: string;
  {
    await using kit = await createTestKit({ dataDir });
    await kit.turn("Create a file a.txt that says a");
    const running = leftovers(dataDir, "");
    expect(running.processes.length).toBeGreaterThan(5);
    instance = /"instance":"(\w+)"/.exec(running.processes.join("\n"))?.[1] ?? "";
    expect(leftovers(dataDir, instance).namespaces.length).toBeGreaterThan(0);
  }
  const left = leftovers(dataDir, instance);
  expect(left).toEqual({ mounts: [], namespaces: [], links: [], cgroups: [], processes: [], sockets: [] });
  expect(isPrivate(join(dataDir, "secrets.json"))).toBe(true);
  for (const part of ["engine", "gateway", "s3", "server", "run"])
    expect(isPrivate(join(dataDir, part)), part).toBe(true);
});

test("what a turn made is there after a stop and a new start", async () => {
  let before: TestAccount;
  let sessionId: string;
  {
    await using kit = await createTestKit({ dataDir });
    before = kit.account;
    ({ sessionId } = await kit.turn("Create a file kept.txt that says kept"));
  }
  await using kit = await createTestKit({ dataDir });
  const account = { ...before, client: before.client.withOptions({ baseURL: kit.url }) };
  const { events } = await kit.turn("read kept.txt", { account, sessionId });
  expect(JSON.stringify(eventsOf(events, "agent.tool_result"))).toContain("kept");
  const log = await kit.log(sessionId, account);
  expect(log.map((event) => event.seq)).toEqual(log.map((_event, i) => i + 1));
  expect(eventsOf(log, "user.message").length).toBe(2);
});

test("`holdfast up` prints a URL that logs in; a second one on the same data says who has it; SIGINT ends it", async () => {
  const port = await freePort();
  await using running = await startUp(port);
  const url = running.printed.find((line) => line.includes("/login?token="))?.trim() ?? "";
  const login = await fetch(url, { redirect: "manual" });
  expect([302, 303]).toContain(login.status);
  const cookie = login.headers.get("set-cookie") ?? "";
  expect(cookie).toMatch(/HttpOnly/i);
  expect(cookie).toMatch(/SameSite=Strict/i);
  expect(running.printed.join("\n")).toContain("Scripted demo, not Claude");
  const second = await holdfast(["up", "--port", String(await freePort()), "--data-dir", dataDir]);
  expect(second.code).toBe(1);
  expect(second.stderr).toContain(`process id ${running.child.pid}`);
  const added = await holdfast(["account", "add", "alice", "--data-dir", dataDir]);
  expect(added.code).toBe(0);
  const key = /API key: (\S+)/.exec(added.stdout)?.[1] ?? "";
  const own = await fetch(`http://127.0.0.1:${port}/v1/status`, { headers: { "x-api-key": key } });
  expect(await own.json()).toMatchObject({ account: { name: "alice" } });
  running.child.kill("SIGINT");
  expect((await once(running.child, "exit"))[0]).toBe(0);
  expect(processesOf(dataDir)).toEqual([]);
});

test("when the supervisor is killed, its services end too, one that hangs by force, and a new start works", async () => {
  const port = await freePort();
  await using first = await startUp(port);
  const services = () =>
    processesOf(dataDir).filter((line) => /src\/main\.ts/.test(line) && !/keeper|egress/.test(line));
  const storage = Number(
    services()
      .find((line) => line.includes("packages/s3/"))
      ?.split(" ")[0],
  );
  process.kill(storage, "SIGSTOP");
  first.child.kill("SIGKILL");
  await once(first.child, "exit");
  await expect.poll(services, { timeout: 20_000 }).toEqual([expect.stringContaining("packages/s3/")]);
  await using second = await startUp(port);
  expect(services().some((line) => line.startsWith(`${storage} `))).toBe(false);
  second.child.kill("SIGINT");
  expect((await once(second.child, "exit"))[0]).toBe(0);
  expect(processesOf(dataDir)).toEqual([]);
});

test("killed while the base image is built: the next start works, and nothing stays mounted", async () => {
  const own = join(dataDir, "images");
  await using first = await startUp(await freePort(), own);
  const building = () => processesOf(dataDir).some((line) => line.includes("mmdebstrap"));
  await expect.poll(building, { timeout: 20_000 }).toBe(true);
  const engine = processesOf(dataDir).find((line) => line.includes("packages/engine/src/main.ts"));
  first.child.kill("SIGKILL");
  process.kill(Number(engine?.split(" ")[0]), "SIGKILL");
  await once(first.child, "exit");
  await using second = await startUp(await freePort(), own);
  expect(leftovers(dataDir, "").mounts.filter((line) => line.includes("/images/tmp/"))).toEqual([]);
  second.child.kill("SIGINT");
  expect((await once(second.child, "exit"))[0]).toBe(0);
  // What the killed engine had begun loses its ground with the leftovers, and ends by itself.
  await expect.poll(() => leftovers(dataDir, ""), { timeout: 60_000 }).toMatchObject({ processes: [], mounts: [] });
});

/** `holdfast up` until it has said that it is ready; ended with the test, however that goes. */
async function startUp(port: number, images = imageCacheDir) {
  const child = spawn(process.execPath, [cliMain, "up", "--port", String(port), "--data-dir", dataDir], {
    env: { ...process.env, ANTHROPIC_API_KEY: "", HOLDFAST_IMAGE_CACHE_DIR: images },
  });
  const printed: string[] = [];
  createInterface({ input: child.stderr }).on("line", (line) => printed.push(line));
  await new Promise<void>((resolve, reject) => {
    createInterface({ input: child.stdout }).on("line", (line) => {
      printed.push(line);
      if (line.startsWith("Ctrl-C")) resolve();
    });
    child.once("exit", (code) => reject(new Error(`holdfast up ended with ${code}: ${printed.join("\n")}`)));
  });
  return {
    child,
    printed,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, "exit");
      child.kill("SIGINT");
      await gone;
    },
  };
}
