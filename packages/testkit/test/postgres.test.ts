import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { expect, test } from "vitest";
import { startPostgres } from "../src/postgres.ts";

test("a cluster of the test's own: databases, a restart at the same address, nothing left behind", async () => {
  const cluster = await startPostgres();
  const dir = dirname(cluster.dataDir);
  try {
    const [one, two] = [await cluster.createDatabase(), await cluster.createDatabase()];
    expect(one).not.toBe(two);
    const { port } = cluster;
    await cluster.restart("immediate");
    expect(cluster.port).toBe(port);
    expect(await cluster.sql("select count(*) from pg_database where datname like 'holdfast_%'")).toBe("2");
  } finally {
    await cluster[Symbol.asyncDispose]();
  }
  expect(existsSync(dir)).toBe(false);
});

const child = `
const { startPostgres } = await import("./postgres.ts");
const cluster = await startPostgres();
process.stdout.write(JSON.stringify([cluster.dataDir, await cluster.sql("select pg_backend_pid()")]));
setInterval(() => undefined, 1000);
`;

test("it ends with a test that is killed", async () => {
  const cwd = new URL("../src/", import.meta.url);
  const killed = spawn(process.execPath, ["--input-type=module", "-e", child], {
    cwd,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [said] = (await once(killed.stdout, "data")) as [Buffer];
  const [dataDir] = JSON.parse(String(said)) as [string];
  expect(existsSync(dataDir)).toBe(true);
  killed.kill("SIGKILL");
  await expect.poll(() => existsSync(dirname(dataDir)), { timeout: 20_000 }).toBe(false);
});
