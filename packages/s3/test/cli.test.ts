import { execFile } from "node:child_process";
import { access, mkdir, mkdtemp, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { assumeRole, type Credentials, prefixPolicy } from "../src/index.ts";
import { REGION, ROOT, type TestServer, tempDir, testServer } from "./_server.ts";

const AWS = "/usr/bin/aws";
const PREFIX = "docs/acc_x/1700000000/";
const HELD = "docs/acc_x/1700000001/";
const installed = await access(AWS).then(
  () => true,
  () => false,
);

interface Ran {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

// Each command starts a Python program, which takes seconds where the machine is busy: those that need not wait for each
// other run at once.
describe.skipIf(!installed)("with the AWS CLI", { timeout: 240_000, concurrent: true }, () => {
  let kit: TestServer;
  let directory: Awaited<ReturnType<typeof tempDir>>;

  beforeAll(async () => {
    kit = await testServer();
    directory = await tempDir();
  });
  afterAll(async () => {
    await kit[Symbol.asyncDispose]();
    await directory[Symbol.asyncDispose]();
  });

  function aws(args: readonly string[], credentials: Credentials = ROOT): Promise<Ran> {
    const env = {
      PATH: "/usr/bin:/bin",
      HOME: directory.path,
      AWS_EC2_METADATA_DISABLED: "true",
      AWS_DEFAULT_REGION: REGION,
      AWS_ACCESS_KEY_ID: credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
      LC_ALL: "C.UTF-8",
      ...(credentials.sessionToken === undefined ? {} : { AWS_SESSION_TOKEN: credentials.sessionToken }),
    };
    return new Promise((resolve) => {
      execFile(AWS, [...args, "--endpoint-url", kit.url], { env, timeout: 60_000 }, (error, stdout, stderr) => {
        const exitCode = error ? (typeof error.code === "number" ? error.code : -1) : 0;
        resolve({ exitCode, stdout, stderr });
      });
    });
  }

  async function keysBelow(prefix: string): Promise<string[]> {
    const keys: string[] = [];
    for await (const page of kit.client().list({ bucket: "test", prefix }))
      keys.push(...page.objects.map((o) => o.key));
    return keys;
  }

  it("copies, lists and removes; a large file goes in parts", async () => {
    const dir = await mkdtemp(join(directory.path, "cp-"));
    const small = join(dir, "small.txt");
    const large = join(dir, "large.bin");
    const content = Buffer.alloc(20 * 1024 * 1024, "0123456789abcdef!");
    await writeFile(small, "small");
    await writeFile(large, content);
    const done = async (...all: readonly (readonly string[])[]) => {
      const ran = await Promise.all(all.map((args) => aws(["s3", ...args])));
      for (const one of ran) expect(one).toMatchObject({ exitCode: 0 });
      return ran.map(({ stdout }) => stdout);
    };
    await done(["cp", small, "s3://test/cli/small.txt"], ["cp", large, "s3://test/cli/large.bin"]);
    expect((await kit.client().head({ bucket: "test", key: "cli/large.bin" }))?.etag).toMatch(/-3$/);
    expect((await kit.client().head({ bucket: "test", key: "cli/small.txt" }))?.contentType).toBe("text/plain");
    const back = join(dir, "back.bin");
    await done(
      ["cp", "s3://test/cli/large.bin", back],
      ["cp", "s3://test/cli/large.bin", "s3://test/cli/copy.bin"],
      ["mb", "s3://made-by-cli"],
    );
    expect((await readFile(back)).equals(content)).toBe(true);
    expect((await kit.client().getBytes({ bucket: "test", key: "cli/copy.bin" })).equals(content)).toBe(true);
    const [below = "", top, buckets] = await done(["ls", "s3://test/cli/"], ["ls", "s3://test/"], ["ls"]);
    expect(below.match(/\S+$/gm)).toEqual(["copy.bin", "large.bin", "small.txt"]);
    expect(top).toContain("PRE cli/");
    expect(buckets).toMatch(/ made-by-cli$.* test$/ms);
    await done(["rm", "--recursive", "s3://test/cli/"], ["rb", "s3://made-by-cli"]);
    expect(await keysBelow("cli/")).toEqual([]);
  });

  const NAMES = [
    "plain.txt",
    "with space.txt",
    "plus+and%25.txt",
    "ümlaut-😀.txt",
    "deep/er/x",
    "quote'\"&<>.txt",
    "#hash?.txt",
  ];

  it("syncs a tree with odd names there and back; a dangling link is exit code 2, no link is followed", async () => {
    const dir = await mkdtemp(join(directory.path, "sync-"));
    for (const name of NAMES) {
      await mkdir(join(dir, name, ".."), { recursive: true });
      await writeFile(join(dir, name), `content of ${name}`);
    }
    const target = `s3://test/${PREFIX}`;
    const policy = prefixPolicy("test", PREFIX);
    const limited = await assumeRole({
      endpoint: kit.url,
      region: REGION,
      credentials: ROOT,
      durationSeconds: 900,
      sessionName: "cli",
      policy,
    });
    expect(await aws(["s3", "sync", "--no-follow-symlinks", dir, target], limited)).toMatchObject({ exitCode: 0 });
    const expected = NAMES.map((name) => PREFIX + name);
    expect((await keysBelow(PREFIX)).sort()).toEqual(expected.sort());
    await symlink("/etc/hostname", join(dir, "host"));
    const again = await aws(["s3", "sync", "--no-follow-symlinks", dir, target], limited);
    expect([again.exitCode, again.stdout]).toEqual([0, ""]);
    await symlink("nowhere", join(dir, "dangling"));
    await writeFile(join(dir, "plain.txt"), "changed, and longer than before");
    const dangling = await aws(["s3", "sync", dir, target, "--exclude", "host"], limited);
    expect(dangling.exitCode).toBe(2);
    expect((await keysBelow(PREFIX)).sort()).toEqual(expected.sort());
    const back = await mkdtemp(join(directory.path, "back-"));
    expect(await aws(["s3", "sync", target, back], limited)).toMatchObject({ exitCode: 0 });
    expect(await readFile(join(back, "plain.txt"), "utf8")).toBe("changed, and longer than before");
    for (const name of NAMES.slice(1)) expect(await readFile(join(back, name), "utf8")).toBe(`content of ${name}`);
  });

  it("is held to its prefix with temporary credentials", async () => {
    const policy = prefixPolicy("test", HELD);
    const limited = await assumeRole({
      endpoint: kit.url,
      region: REGION,
      credentials: ROOT,
      durationSeconds: 900,
      sessionName: "cli",
      policy,
    });
    await kit.client().put({ bucket: "test", key: `${HELD}keep`, body: "kept" });
    const file = join(directory.path, "file");
    await writeFile(file, "x");
    const refused = [
      ["s3", "cp", file, "s3://test/docs/acc_y/1700000000/x"],
      ["s3", "rm", `s3://test/${HELD}keep`],
      ["s3", "ls", "s3://test/docs/"],
      ["s3", "cp", `s3://test/${HELD}keep`, "s3://test/elsewhere"],
    ];
    for (const { exitCode, stdout, stderr } of await Promise.all(refused.map((args) => aws(args, limited)))) {
      expect(exitCode).not.toBe(0);
      expect(stdout + stderr).toMatch(/AccessDenied|403|Forbidden/);
    }
    expect(await kit.client().head({ bucket: "test", key: `${HELD}keep` })).toBeDefined();
  });

  it("asks STS itself", async () => {
    const policy = JSON.stringify(prefixPolicy("test", PREFIX));
    const role = ["--role-arn", "arn:aws:iam::000000000000:role/any", "--role-session-name", "cli", "--policy", policy];
    const { stdout, exitCode } = await aws(["sts", "assume-role", ...role, "--duration-seconds", "900"]);
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ Credentials: { AccessKeyId: expect.stringMatching(/^ASIA/) } });
  });
});
