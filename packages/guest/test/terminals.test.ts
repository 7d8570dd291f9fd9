import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { GuestTerminal } from "../src/frames.ts";
import { ringBytes } from "../src/terminals/terminal.ts";
import { type Client, isAlive, TestGuest, until } from "./_guest.ts";

const id = "term_1";
const shell = ["env", "HOME=/nonexistent", "TERM=xterm-256color", "PS1=> "];

function open(guest: TestGuest, { terminal = id, rows = 24, cols = 80, argv = shell } = {}) {
  const size = ["--rows", String(rows), "--cols", String(cols)];
  return guest.run(
    ["terminal", "--run-dir", guest.runDir, "--terminal", terminal, ...size, "--cwd", "/tmp", "--", ...argv],
    { env: { SHELL: "/bin/sh" } },
  );
}

/** A guest with one terminal, and somebody who looks at it. */
async function opened(guest: TestGuest): Promise<Typist> {
  await guest.daemon();
  expect(open(guest)).toMatchObject({ code: 0, stderr: "" });
  return await Typist.at(await guest.client());
}

class Typist {
  readonly client: Client;
  readonly writer: string;
  typed = 0;

  private constructor(client: Client, writer: string) {
    this.client = client;
    this.writer = writer;
  }

  static async at(client: Client, { writer = "w1", offset = 0, terminal = id } = {}): Promise<Typist> {
    expect(await client.request({ type: "watch_terminal", terminalId: terminal, offset })).toMatchObject({ ok: true });
    return new Typist(client, writer);
  }

  async type(text: string | Uint8Array, offset = this.typed) {
    const bytes = Buffer.from(text as string);
    const { writer } = this;
    const reply = await this.client.request({ type: "type_in_terminal", terminalId: id, writer, offset }, bytes);
    this.typed = Math.max(this.typed, offset + bytes.length);
    return reply;
  }

  /** Waits for what is printed after a line was typed; what is echoed does not count. */
  async say(line: string, answer: string | RegExp): Promise<string> {
    const from = this.bytes;
    await this.type(`${line}\r`);
    return await this.client.until(`${answer} after ${line}`, () => {
      const said = this.all.subarray(from).toString();
      return said.search(answer) === -1 ? undefined : said;
    });
  }

  get all(): Buffer {
    return Buffer.concat(this.client.output.get(`${id}/terminal`) ?? []);
  }

  get bytes(): number {
    return this.client.bytes.get(`${id}/terminal`) ?? 0;
  }
}

async function listed(client: Client): Promise<GuestTerminal[]> {
  const reply = await client.request({ type: "list_terminals" });
  return (reply.ok && reply.terminals) || [];
}

test("a terminal has its size from the start, and programs in it see another one", async () => {
  await using guest = new TestGuest();
  await guest.daemon();
  expect(open(guest, { rows: 33, cols: 77 })).toMatchObject({ code: 0, stderr: "" });
  const typist = await Typist.at(await guest.client());
  expect(typist.client.hello.terminals).toBe(true);
  await typist.say("stty size; tput cols; pwd; echo $TERM", /33 77\s+77\s+\/tmp\s+xterm-256color/);
  // The program in the foreground is told.
  await typist.say("trap 'echo winch $(stty size)' WINCH; echo set''up", "setup");
  const resized = { type: "resize_terminal", terminalId: id, rows: 50, cols: 132 } as const;
  expect(await typist.client.request(resized)).toMatchObject({ ok: true });
  await typist.client.waitText(id, "winch 50 132", "terminal");
  await typist.say("tput lines; tput cols", /50\s+132/);
  expect(await listed(typist.client)).toMatchObject([{ terminalId: id, rows: 50, cols: 132, exit: null }]);
  const wrong = { type: "resize_terminal", terminalId: id, rows: 0, cols: 5 } as const;
  expect(await typist.client.request(wrong)).toMatchObject({ ok: false, code: "bad_request" });
});

test("Ctrl-C ends the program in the foreground, not the shell; a program is told of by `isBusy`", async () => {
  await using guest = new TestGuest();
  const typist = await opened(guest);
  await typist.say("echo shell $$", /shell \d+/);
  expect(await listed(typist.client)).toMatchObject([{ isBusy: false }]);
  await typist.say("sh -c 'echo sleeper $$; exec sleep 1000'", /sleeper \d+/);
  const sleeper = Number(/sleeper (\d+)/.exec(typist.all.toString())?.[1]);
  expect(await listed(typist.client)).toMatchObject([{ isBusy: true }]);
  await typist.type("\u0003");
  await until("the end of sleep", () => !isAlive(sleeper));
  await typist.say("echo code $?", "code 130");
  expect(await listed(typist.client)).toMatchObject([{ isBusy: false }]);
});

test("what is typed twice is typed once; who types is known by name", async () => {
  await using guest = new TestGuest();
  const typist = await opened(guest);
  await typist.say("stty -echo; echo qui''et", "quiet");
  const from = typist.typed;
  await Promise.all([typist.type("echo a", from), typist.type("echo a", from), typist.type("cho ab", from + 1)]);
  await typist.say("c", /abc/);
  const other = await Typist.at(await guest.client(), { writer: "w2", offset: 0 });
  await other.say("echo o''ther", "other");
  expect(typist.all.toString().match(/abc/g)).toHaveLength(1);
  expect(await typist.type("x", typist.typed + 5)).toMatchObject({ ok: false, code: "bad_request" });
  expect(await typist.type("x".repeat(300_000))).toMatchObject({ ok: false, code: "bad_request" });
});

test("bytes go through as they are, cut anywhere", async () => {
  await using guest = new TestGuest();
  const typist = await opened(guest);
  const text = "zäh 日本 👩‍💻";
  // Taken as what it is by a program that only counts; each byte by itself.
  await typist.say("stty -echo -icanon; echo ra''w", "raw");
  await typist.type(`head -c ${Buffer.byteLength(text)} | od -An -v -tx1 | tr -d ' \\n'; echo; printf '${text}'\r`);
  for (const byte of Buffer.from(text)) await typist.type(Uint8Array.of(byte));
  await typist.client.waitText(id, Buffer.from(text).toString("hex"), "terminal");
  await typist.client.waitText(id, text, "terminal");
  const later = await Typist.at(await guest.client(), { offset: typist.all.indexOf(text) + 1 });
  await later.client.until("the rest", () => (later.bytes >= Buffer.byteLength(text) - 1 ? true : undefined));
  expect(later.all.subarray(0, 5)).toEqual(Buffer.from(text).subarray(1, 6));
});

test("who asks for what the ring has no more is told where it begins, and gets the rest whole", async () => {
  await using guest = new TestGuest();
  await guest.daemon();
  open(guest);
  const [blind, counting] = [await guest.client(), 3 * ringBytes];
  const typing = { type: "type_in_terminal", terminalId: id, writer: "w", offset: 0 } as const;
  const command = `stty -onlcr; yes 0123456789abcde | head -c ${counting}; printf 'the %s' end\r`;
  await blind.request(typing, command);
  const listedEnd = async () => (await listed(blind))[0]?.end ?? 0;
  while ((await listedEnd()) < counting) await blind.request({ type: "ping" });
  const reply = await blind.request({ type: "watch_terminal", terminalId: id, offset: 5 });
  const from = (reply.ok && reply.offset) || 0;
  expect(from).toBeGreaterThan(counting - ringBytes);
  await blind.waitText(id, "the end", "terminal");
  const first = blind.messages.find(({ type }) => type === "terminal_output");
  expect(first).toMatchObject({ offset: from });
  expect((blind.bytes.get(`${id}/terminal`) ?? 0) + from).toBe(await listedEnd());
  const folder = join(guest.runDir, "terminals", id);
  expect(readFileSync(join(folder, "ring")).length).toBe(ringBytes + 8);
});

test("programs wait for a reader that is behind; nothing is lost to it", async () => {
  await using guest = new TestGuest();
  const typist = await opened(guest);
  await typist.say("stty -onlcr; echo se''t", "set");
  typist.client.socket.pause();
  const size = 4 * ringBytes;
  const from = typist.bytes;
  const other = await guest.client();
  const typing = { type: "type_in_terminal", terminalId: id, writer: "w3", offset: 0 } as const;
  await other.request(
    typing,
    `stty -echo; yes 0123456789abcde | head -c ${size} | tee /dev/null; printf 'the %s' end\r`,
  );
  // As far as it goes; what it does then is one read more at the most.
  while (((await listed(other))[0]?.end ?? 0) < from + ringBytes / 2) await other.request({ type: "ping" });
  for (let n = 0; n < 20; n++) {
    const [waiting] = await listed(other);
    expect(waiting).toMatchObject({ isBusy: true });
    expect(waiting?.end).toBeLessThan(from + ringBytes);
  }
  typist.client.socket.resume();
  await typist.client.until("all of it", () => (typist.bytes >= from + size ? true : undefined), 30_000);
  await typist.client.waitText(id, "the end", "terminal");
  const lines = typist.all.toString().split("\n");
  expect(lines.filter((line) => line === "0123456789abcde").length).toBeGreaterThanOrEqual(size / 16 - 1);
}, 60_000);

test("the shell's end is told with its code, then and later; the terminal can be asked for until it is removed", async () => {
  await using guest = new TestGuest();
  const typist = await opened(guest);
  await typist.type("exit 7\r");
  expect(await typist.client.waitFor("terminal_exit")).toMatchObject({ code: 7, terminalId: id });
  const late = await guest.client();
  await late.request({ type: "watch_terminal", terminalId: id, offset: 0 });
  expect(await late.waitFor("terminal_exit")).toMatchObject({ code: 7 });
  expect(late.text(id, "terminal")).toBe(typist.all.toString());
  expect(await typist.type("x")).toMatchObject({ ok: false, code: "terminal_ended" });
  expect(await late.request({ type: "end_terminal", terminalId: id })).toMatchObject({ ok: true });
  expect(await late.request({ type: "watch_terminal", terminalId: id, offset: 0 })).toMatchObject({
    ok: false,
    code: "unknown_terminal",
  });
  expect(readdirSync(join(guest.runDir, "terminals"))).toEqual([]);
});

test("ending one ends all that runs in it, also what does not listen", async () => {
  await using guest = new TestGuest();
  const typist = await opened(guest);
  await typist.say("nohup sleep 1000 >/dev/null 2>&1 & echo job $!", /job \d+/);
  await typist.say("sh -c 'trap : HUP INT TERM; echo deaf $$; while :; do sleep 1000; done'", /deaf \d+/);
  const pids = [...typist.all.toString().matchAll(/(?:job|deaf) (\d+)/g)].map((match) => Number(match[1]));
  expect(await typist.client.request({ type: "end_terminal", terminalId: id })).toMatchObject({ ok: true });
  for (const pid of pids) await until("its end", () => !isAlive(pid));
  expect(await listed(typist.client)).toEqual([]);
});

test("eight run at once; the ninth is refused in words", async () => {
  await using guest = new TestGuest();
  await guest.daemon();
  for (let n = 1; n <= 8; n++) expect(open(guest, { terminal: `term_${n}` }).code).toBe(0);
  // The same again is no other one.
  expect(open(guest, { terminal: "term_3" }).code).toBe(0);
  const refused = open(guest, { terminal: "term_9" });
  expect(refused.code).toBe(1);
  expect(JSON.parse(refused.stderr)).toMatchObject({
    code: "too_many_terminals",
    message: "8 terminals run already",
    remedy: "End one of them.",
  });
  const client = await guest.client();
  await client.request({ type: "end_terminal", terminalId: "term_1" });
  expect(open(guest, { terminal: "term_9" }).code).toBe(0);
});

test("a terminal that cannot be started says why, and leaves nothing", async () => {
  await using guest = new TestGuest();
  await guest.daemon();
  const refused = open(guest, { argv: ["runuser", "-u", "nobody-of-here", "--"] });
  expect(refused.code).toBe(1);
  expect(JSON.parse(refused.stderr)).toMatchObject({ code: "spawn_failed", message: /nobody-of-here/ });
  expect(readdirSync(join(guest.runDir, "terminals"))).toEqual([]);
});

test("the guest is killed: the terminal goes on, and is found again with what it printed meanwhile", async () => {
  await using guest = new TestGuest();
  const daemon = await guest.daemon();
  expect(open(guest).code).toBe(0);
  const typist = await Typist.at(await guest.client());
  const flag = join(guest.folder, "flag");
  await typist.say("echo shell $$", /shell \d+/);
  const pid = Number(/shell (\d+)/.exec(typist.all.toString())?.[1]);
  await typist.type(`until [ -e ${flag} ]; do sleep 0.01; done; echo mean''while; echo done > ${flag}\r`);
  daemon.kill("SIGKILL");
  await until("the daemon's end", () => daemon.signalCode !== null);
  writeFileSync(flag, "");
  await until("what it does meanwhile", () => readFileSync(flag, "utf8") === "done\n");
  await guest.daemon();
  const after = await Typist.at(await guest.client(), { offset: typist.bytes });
  await after.client.waitText(id, "meanwhile", "terminal");
  // What was typed before is known.
  after.typed = typist.typed;
  expect(await after.type("echo twice\r", 0)).toMatchObject({ ok: true });
  await after.say("echo still $$", `still ${pid}`);
  expect(after.all.toString()).not.toContain("twice");
  await after.type("exit 9\r");
  expect(await after.client.waitFor("terminal_exit")).toMatchObject({ code: 9 });
});

test("one that ended while no guest was there is said to have ended", async () => {
  await using guest = new TestGuest();
  const daemon = await guest.daemon();
  expect(open(guest).code).toBe(0);
  const typist = await Typist.at(await guest.client());
  await typist.say("echo shell $$", /shell \d+/);
  const pid = Number(/shell (\d+)/.exec(typist.all.toString())?.[1]);
  daemon.kill("SIGKILL");
  await until("the daemon's end", () => daemon.signalCode !== null);
  process.kill(pid, "SIGKILL");
  const code = join(guest.runDir, "terminals", id, "code");
  await until("its end", () => readFileSync(code, "utf8").trim() !== "");
  await guest.daemon();
  const after = await guest.client();
  expect(await listed(after)).toMatchObject([{ exit: { code: 137 } }]);
  await after.request({ type: "watch_terminal", terminalId: id, offset: 0 });
  expect(await after.waitFor("terminal_exit")).toMatchObject({ code: 137 });
  expect(after.text(id, "terminal")).toContain(`shell ${pid}`);
});
