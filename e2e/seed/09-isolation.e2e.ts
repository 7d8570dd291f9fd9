import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createTestKit, eventsOf, type TestAccount, type TestKit } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { asClaudeuser, secretsOf } from "./_seed.ts";

/** Looks like a key, and is only ever given to the gateway. */
const realKey = "sk-ant-api03-this-key-must-never-be-seen-inside-a-sandbox";
const marker = `holdfast-host-marker-${Math.random().toString(36).slice(2)}`;

let kit: TestKit;
let other: TestAccount;
let hostDir: string;
beforeAll(async () => {
  hostDir = mkdtempSync(join(tmpdir(), "holdfast-host-"));
  writeFileSync(join(hostDir, "marker.txt"), marker);
  kit = await createTestKit();
  other = await kit.addAccount("the other one");
  await kit.turn("Create a file mine.txt that says mine");
  await kit.turn("Create a file theirs.txt that says theirs", { account: other });
});
afterAll(async () => {
  await kit?.[Symbol.asyncDispose]();
  rmSync(hostDir, { recursive: true, force: true });
});

const both: [string, (command: string) => string[]][] = [
  ["root", (command) => ["sh", "-c", command]],
  ["claudeuser", asClaudeuser],
];

describe.each(both)("as %s inside", (_who, as) => {
  const shell = async (command: string) => {
    const { stdout, stderr } = await kit.exec(as(command));
    return stdout + stderr;
  };

  test("no path of the host is there", async () => {
    expect(await shell(`cat ${hostDir}/marker.txt /proc/1/root${hostDir}/marker.txt`)).not.toContain(marker);
    expect(await shell(`ls ${kit.dataDir} 2>&1`)).toMatch(/No such file|Permission denied/);
  });

  test("no other account's volume is there", async () => {
    expect((await shell("ls /__modal/volumes/")).match(/^vo-\S+$/gm)?.length).toBe(2);
    expect(await shell("ls -R /__modal/volumes/")).toContain("mine.txt");
    expect(await shell("find / -name theirs.txt 2>/dev/null")).toBe("");
  });

  test("no process of the host or of another sandbox is visible", async () => {
    expect(await shell("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '")).not.toMatch(
      /crun|vitest|packages\/server/,
    );
  });

  test("neither our secrets nor a real key can be read", async () => {
    await kit.fetch("/v1/credential", { method: "PUT", body: JSON.stringify({ api_key: realKey }) });
    try {
      const secrets = secretsOf(kit);
      const seen = await shell(
        "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null; env; cat /run/*/* /etc/* /root/* /tmp/* 2>/dev/null",
      );
      for (const value of [
        realKey,
        secrets.gatewayTokenSecret,
        secrets.gatewayAdminToken,
        secrets.modalTokenSecret,
        secrets.s3SecretAccessKey,
      ])
        expect(seen).not.toContain(value);
    } finally {
      await kit.fetch("/v1/credential", { method: "DELETE" });
    }
  });

  test("no address can be reached but gateway and S3", async () => {
    const secret = createServer((_request, response) => response.end(marker));
    await new Promise<void>((resolve) => secret.listen(0, "127.0.0.1", resolve));
    const { port } = secret.address() as AddressInfo;
    try {
      const curl = (url: string) => shell(`curl -s -m 3 -o /dev/null -w '%{http_code}' ${url} || echo refused`);
      expect(await curl("http://gateway.holdfast.internal:4601/")).toMatch(/^[2-4]\d\d$/);
      expect(await curl("http://s3.holdfast.internal:4603/")).toMatch(/^[2-4]\d\d$/);
      for (const url of [
        `http://127.0.0.1:${port}/`,
        `http://gateway.holdfast.internal:${port}/`,
        `${kit.url}/health`,
        "http://169.254.169.254/latest/meta-data/",
        "http://192.0.2.1/",
        "http://example.com/",
      ])
        expect(await curl(url), url).toContain("refused");
    } finally {
      secret.close();
    }
  });
});

test("Claude's Bash cannot read or write the spool, the guest's socket or Claude's own stdin", async () => {
  const { events } = await kit.turn(
    [
      "run `cat /run/holdfast/spool/*/stdout; ls /run/holdfast; echo spool=$?`",
      "then run `echo x >> /run/holdfast/spool/forged; socat - UNIX-CONNECT:/run/holdfast/guest.sock </dev/null; echo socket=$?`",
      "then run `for p in $(pgrep -x claude); do echo forged > /proc/$p/fd/0; cat < /proc/$p/fd/0; echo forged > /proc/$p/fd/1; done; echo stdin=$?`",
    ].join(", "),
  );
  const bash = new Set(eventsOf(events, "agent.tool_use").flatMap((use) => (use.name === "Bash" ? [use.id] : [])));
  const results = eventsOf(events, "agent.tool_result")
    .filter((event) => bash.has(event.tool_use_id))
    .map((event) => JSON.stringify(event.content));
  expect(results.length).toBe(3);
  expect(results[0]).toMatch(/Permission denied/);
  expect(results[0]).not.toMatch(/spool=0/);
  expect(results[1]).toMatch(/Permission denied/);
  expect(results[1]).not.toMatch(/socket=0/);
  expect(results[2]).toMatch(/No such device or address|Permission denied/);
  expect(results[2]).not.toMatch(/stdin=0/);
  expect(JSON.stringify(events)).not.toContain('"text":"forged"');
  expect(eventsOf(events, "holdfast.turn_result")[0]?.outcome).toBe("completed");
});

test("the sandbox's root is not the machine's: its ids are shifted", async () => {
  const map = (await kit.exec(["cat", "/proc/self/uid_map"])).stdout.trim().split(/\s+/).map(Number);
  expect(map[0]).toBe(0);
  expect(map[1]).toBeGreaterThan(0);
  expect(map[2]).toBe(65_536);
});
