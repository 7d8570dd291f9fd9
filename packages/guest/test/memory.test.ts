import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { TestGuest } from "./_guest.ts";

const conversation = "11111111-1111-4111-8111-111111111111";

/** Claude Code's folder of a user, as that user. */
class World implements AsyncDisposable {
  readonly guest = new TestGuest();
  readonly folder = mkdtempSync(join(tmpdir(), "guest-memory-"));
  readonly config = join(this.folder, "state/.claude");
  readonly cwd = join(this.folder, "work_space");
  readonly projects = join(this.config, "projects");
  readonly file = join(this.projects, this.cwd.replaceAll(/[^a-zA-Z0-9]/g, "-"), `${conversation}.jsonl`);

  constructor() {
    mkdirSync(this.cwd, { recursive: true });
    mkdirSync(join(this.folder, "state"));
    writeFileSync(join(this.folder, "secret"), "root's");
    chmodSync(join(this.folder, "secret"), 0o600);
    spawnSync("chown", ["-R", "1000:1000", this.cwd, join(this.folder, "state")]);
    chmodSync(this.folder, 0o755);
    chmodSync(this.guest.script, 0o644);
  }

  #run(verb: string, more: string[], input?: string | Buffer) {
    const place = ["--config", this.config, "--cwd", this.cwd, "--conversation", conversation];
    const asUser = ["--reuid=1000", "--regid=1000", "--clear-groups", "--"];
    const program = [process.execPath, this.guest.script, "memory", verb, ...place, ...more];
    const { status, stdout, stderr } = spawnSync("setpriv", [...asUser, ...program], {
      encoding: "utf8",
      timeout: 20_000,
      ...(input === undefined ? {} : { input }),
    });
    return { status, stderr, report: status === 0 ? JSON.parse(stdout) : undefined };
  }

  look(...has: string[]) {
    return this.#run(
      "look",
      has.flatMap((id) => ["--has", id]),
    );
  }

  replace(input: string | Buffer) {
    return this.#run("replace", [], input);
  }

  put(content: string | Buffer): void {
    mkdirSync(join(this.file, ".."), { recursive: true });
    writeFileSync(this.file, content);
    spawnSync("chown", ["-R", "1000:1000", this.config]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.folder, { recursive: true, force: true });
    await this.guest[Symbol.asyncDispose]();
  }
}

const row = (uuid: string, parentUuid: string | null, type = "assistant") =>
  JSON.stringify({ type, uuid, parentUuid, message: { content: "x".repeat(200) } });
const rows = [
  '{"type":"mode"}',
  row("a", null, "user"),
  row("b", "a", "attachment"),
  row("c", "b"),
  row("d", "c", "user"),
  row("e", "d"),
];
const whole = `${rows.join("\n")}\n`;
const without = (at: number) => `${rows.filter((_, index) => index !== at).join("\n")}\n`;

test("what is whole stays as it is; a last row that was cut off is no damage", async () => {
  await using world = new World();
  expect(world.look()).toMatchObject({ status: 0, report: { state: "missing", mended: [] } });
  for (const content of [whole, `${whole}{"type":"assi`]) {
    world.put(content);
    expect(world.look("c", "e").report).toEqual({ state: "whole", detail: null, mended: [] });
    expect(readFileSync(world.file, "utf8")).toBe(content);
  }
});

test.each([
  ["without its beginning", without(1), []],
  ["without a row in the middle", without(3), []],
  ["without its end", without(5), ["e"]],
  ["of zeros", Buffer.alloc(5_000), []],
  [
    "with a hole of zeros",
    Buffer.concat([Buffer.from(whole), Buffer.alloc(500), Buffer.from(`\n${row("f", "e")}\n`)]),
    [],
  ],
  ["of noise", Buffer.from(Array.from({ length: 3_000 }, (_, at) => (at * 7919) % 251)), []],
])("one %s is damaged", async (_what, content, has) => {
  await using world = new World();
  world.put(content);
  const { state } = world.look(...has).report;
  // Without a newline in it noise is one row that was cut off, and says nothing.
  expect(content.includes("\n") ? ["damaged"] : ["damaged", "empty"]).toContain(state);
});

test("what is no file is said, and never waited for", async () => {
  await using world = new World();
  const at = (make: () => void) => {
    rmSync(world.file, { recursive: true, force: true });
    world.put("");
    rmSync(world.file);
    make();
    spawnSync("chown", ["-h", "1000:1000", world.file]);
    return world.look().report?.state;
  };
  expect(at(() => writeFileSync(world.file, ""))).toBe("empty");
  expect(at(() => mkdirSync(world.file))).toBe("not_a_file");
  expect(at(() => spawnSync("mkfifo", [world.file]))).toBe("not_a_file");
  expect(at(() => symlinkSync("/dev/zero", world.file))).toBe("not_a_file");
  expect(at(() => symlinkSync("/nowhere", world.file))).toBe("missing");
  expect(at(() => symlinkSync(join(world.folder, "secret"), world.file))).toBe("unreadable");
  expect(at(() => writeFileSync(world.file, whole, { mode: 0 }))).toBe("whole");
});

test("a record takes the place of whatever is there, which is put aside; an empty one leaves nothing there", async () => {
  await using world = new World();
  for (const make of [
    () => undefined,
    () => world.put("broken"),
    () => mkdirSync(world.file, { recursive: true }),
    () => symlinkSync(join(world.folder, "secret"), world.file),
  ]) {
    rmSync(world.file, { recursive: true, force: true });
    make();
    spawnSync("chown", ["-hR", "1000:1000", world.config]);
    expect(world.replace(whole)).toMatchObject({ status: 0, report: { bytes: Buffer.byteLength(whole) } });
    expect(lstatSync(world.file).isFile()).toBe(true);
    expect(readFileSync(world.file, "utf8")).toBe(whole);
    expect(world.look("e").report.state).toBe("whole");
  }
  expect(world.replace("").report).toEqual({ bytes: 0 });
  expect(existsSync(world.file)).toBe(false);
  expect(readdirSync(join(world.file, ".."))).toEqual([`${conversation}.jsonl.aside`]);
  expect(readFileSync(join(world.folder, "secret"), "utf8")).toBe("root's");
});

test("one that lies in another volume's folder is found", async () => {
  await using world = new World();
  world.put(whole);
  const other = join(world.projects, "-other");
  spawnSync("mv", [join(world.file, ".."), other]);
  expect(world.look("e").report.state).toBe("whole");
});

test("what keeps Claude Code from its own files is put aside or opened", async () => {
  await using world = new World();
  const state = join(world.config, "..");
  const own = (path: string) => spawnSync("chown", ["-hR", "1000:1000", path]);
  for (const [name, make] of [
    ["a file for the folder", () => writeFileSync(world.config, "x")],
    ["a link that leads nowhere", () => symlinkSync("/nowhere", world.config)],
    ["a FIFO for the projects", () => spawnSync("mkfifo", ["-m", "600", world.projects])],
    [
      "settings that are no JSON",
      () => world.put(whole) ?? writeFileSync(join(world.config, ".claude.json"), "{broken"),
    ],
    ["settings that never end", () => world.put(whole) ?? spawnSync("mkfifo", [join(world.config, ".claude.json")])],
    ["a folder that is closed", () => world.put(whole) ?? chmodSync(world.projects, 0)],
  ] as const) {
    rmSync(state, { recursive: true, force: true });
    mkdirSync(state);
    own(state);
    if (name.startsWith("a FIFO")) mkdirSync(world.config);
    make();
    own(state);
    const { status, report } = world.look();
    expect({ name, status, mended: report?.mended.length }).toEqual({ name, status: 0, mended: 1 });
    expect({ name, again: world.look().report.mended }).toEqual({ name, again: [] });
    expect(world.replace(whole).status).toBe(0);
  }
});
