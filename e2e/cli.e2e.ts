import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { SessionEvent } from "@holdfast/protocol";
import { createTestKit, eventsOf, type TestAccount, type TestKit } from "@holdfast/testkit";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { type CliRun, cliMain, holdfast } from "./_machine.ts";
import { terminal } from "./_pty.ts";

let kit: TestKit;
let home: string;
let account: TestAccount;
let names = 0;

beforeAll(async () => {
  kit = await createTestKit();
  home = mkdtempSync(join(tmpdir(), "holdfast-cli-"));
});
afterAll(async () => {
  await kit?.[Symbol.asyncDispose]();
  rmSync(home, { recursive: true, force: true });
});
beforeEach(async () => {
  names += 1;
  account = await kit.addAccount(`cli ${names}`);
});

const envOf = (who = account): Record<string, string> => ({
  HOLDFAST_URL: kit.url,
  HOLDFAST_API_KEY: who.apiKey,
  XDG_CONFIG_HOME: home,
  ANTHROPIC_API_KEY: "",
  NO_COLOR: "",
});
const cli = (...args: string[]) => holdfast(args, envOf());
const jsonLines = (run: CliRun) =>
  run.stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

/** A turn that goes on until it is stopped. */
const endless = "run `tail -f /dev/null`";

async function startEndless(): Promise<string> {
  const begun = await cli("run", "list the files", "-o", "json");
  const [id] = (await cli("ls", "-q")).stdout.trim().split("\n");
  expect(begun.code).toBe(0);
  expect((await cli("send", id ?? "", endless)).code).toBe(0);
  const called = async () =>
    eventsOf(await kit.log(id ?? "", account), "agent.tool_use").some((event) =>
      JSON.stringify(event.input).includes("tail -f"),
    );
  await expect.poll(called, { timeout: 30_000 }).toBe(true);
  return id ?? "";
}

test("run in a pipe: the transcript on stdout, the rest on stderr, no colours, exit 0", async () => {
  const run = await cli("run", "Create a file hello.txt that says hello");
  expect(run).toMatchObject({ code: 0 });
  expect(run.stdout).toContain("🚀 Claude initialized…");
  expect(run.stdout).toContain("🔧 Write  hello.txt (1 line)\n   ✓");
  expect(run.stdout).toMatch(/Done: I wrote `hello\.txt`/);
  expect(run.stdout).toMatch(/✓ Done in .* · \$0\.\d+ · \d turns?\n$/);
  expect(run.stdout + run.stderr).not.toContain("\u001b");
  expect(run.stderr).toMatch(/^Session sesn_\w+\n$/);
});

test("run -o json: the session, then one event a line, dense, from the prompt to idle; nothing else", async () => {
  const run = await cli("run", "list the files", "-o", "json");
  expect(run).toMatchObject({ code: 0, stderr: "" });
  const [begun, ...lines] = jsonLines(run);
  expect(begun).toMatchObject({ type: "holdfast.run", session_id: expect.stringMatching(/^sesn_/) });
  const events = lines as unknown as SessionEvent[];
  expect(events.at(-1)?.type).toBe("session.status_idle");
  const seqs = events.map((event) => event.seq);
  expect(seqs).toEqual(seqs.map((_, i) => (seqs[0] ?? 0) + i));
  expect(eventsOf(events, "holdfast.turn_result")[0]?.outcome).toBe("completed");
});

test("run -q: only what Claude says; - reads the prompt from standard input", async () => {
  const child = spawn(process.execPath, [cliMain, "run", "-q", "-"], { env: { ...process.env, ...envOf() } });
  child.stdin.end("count to 3");
  let said = "";
  for await (const chunk of child.stdout) said += String(chunk);
  expect(said).toContain("3");
  expect(said).not.toMatch(/🚀|🔧|Done in|Session/);
});

test("run in a terminal: text grows as it is said, and nothing is said twice", async () => {
  const tty = terminal(["run", "think about tea, then create a file t.txt that says tea"], envOf());
  expect(await tty.exit).toBe(0);
  expect(tty.raw()).toContain("\u001b[32m✓");
  expect(tty.text()).toContain("Claude is working");
  expect(tty.text()).toContain("🔧 Write  t.txt");
  expect(tty.text().trimEnd()).toMatch(/✓ Done in/);
});

test("NO_COLOR takes the colours from a terminal", async () => {
  const tty = terminal(["ls"], { ...envOf(), NO_COLOR: "1" });
  expect(await tty.exit).toBe(0);
  expect(tty.raw()).not.toContain("\u001b[");
});

test("Ctrl-C in a terminal stops the turn first, then ends with 130", async () => {
  const tty = terminal(["run", endless], envOf());
  await tty.until("🔧 Bash  tail -f");
  tty.type("\u0003");
  expect(await tty.exit).toBe(130);
  expect(tty.text()).toContain("Stopping the turn");
  expect(tty.text()).toMatch(/■ Stopped after/);
  const [id = ""] = (await cli("ls", "-q")).stdout.trim().split("\n");
  expect(eventsOf(await kit.log(id, account), "session.status_idle").at(-1)?.holdfast?.outcome).toBe("stopped");
  expect((await kit.exec(["pgrep", "-f", "tail -f /dev/null"], { account })).stdout.trim()).toBe("");
});

test("SIGINT in a pipe does the same", async () => {
  const child = spawn(process.execPath, [cliMain, "run", endless, "-o", "json"], {
    env: { ...process.env, ...envOf() },
  });
  let interrupted = false;
  for await (const line of createInterface({ input: child.stdout })) {
    if (interrupted || !line.includes('"agent.tool_use"')) continue;
    interrupted = true;
    child.kill("SIGINT");
  }
  if (child.exitCode === null) await once(child, "exit");
  expect(interrupted).toBe(true);
  expect(child.exitCode).toBe(130);
});

test("a turn that does not complete ends run with 1", async () => {
  const child = spawn(process.execPath, [cliMain, "run", endless], { env: { ...process.env, ...envOf() } });
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.includes("🔧 Bash")) continue;
    // Stopped by somebody else: not what was asked for.
    const [id = ""] = (await cli("ls", "-q")).stdout.trim().split("\n");
    expect((await cli("stop", id)).stdout).toContain(`Stopping the turn of ${id}`);
  }
  if (child.exitCode === null) await once(child, "exit");
  expect(child.exitCode).toBe(1);
});

test("ls, logs, send: what was said can be read again, also as JSON", async () => {
  await cli("run", "--title", "My task", "Create a file l.txt that says l");
  const listed = await cli("ls");
  expect(listed.stdout).toMatch(
    /^SESSION +STATE +WORKSPACE +CHANGED +COST +TITLE\nsesn_\w+ +idle +default +just now +\$0\.\d+ +My task\n$/,
  );
  const [session] = jsonLines(await cli("ls", "-o", "json"));
  expect(session).toMatchObject({ type: "session", title: "My task" });
  const text = (await cli("logs", "last")).stdout;
  expect(text).toContain("> Create a file l.txt that says l");
  expect(text).toContain("🔧 Write  l.txt");
  const events = jsonLines(await cli("logs", String(session?.id), "-o", "json"));
  expect(events.map((event) => event.seq)).toEqual(events.map((_, i) => i + 1));
  expect(jsonLines(await cli("logs", "last", "-n", "2", "-o", "json"))).toEqual(events.slice(-2));
  expect((await cli("send", "last", "count to 2")).stdout).toMatch(
    /^Sent to sesn_\w+\. Follow it with: holdfast logs sesn_\w+ -f\n$/,
  );
});

test("logs -f follows what others send, until Ctrl-C", async () => {
  await cli("run", "list the files");
  const [id = ""] = (await cli("ls", "-q")).stdout.trim().split("\n");
  const tty = terminal(["logs", id, "-f"], envOf());
  await tty.until("> list the files");
  await cli("send", id, "Create a file later.txt that says later");
  await tty.until("🔧 Write  later.txt");
  await tty.until(/✓ Done in[\s\S]*✓ Done in/);
  tty.type("\u0003");
  expect(await tty.exit).toBe(130);
});

test("logs | head: a closed pipe is not an error", async () => {
  await cli("run", "count to 5");
  const child = spawn(
    "bash",
    ["-c", `"${process.execPath}" "${cliMain}" logs last | head -1; echo "\${PIPESTATUS[0]}"`],
    {
      env: { ...process.env, ...envOf() },
    },
  );
  let out = "";
  for await (const chunk of child.stdout) out += String(chunk);
  expect(out.trim().split("\n").at(-1)).toBe("0");
});

test("attach in a terminal: type, read, stop with Ctrl-C, leave with Ctrl-D", async () => {
  await cli("run", "list the files");
  const tty = terminal(["attach", "last"], envOf());
  await tty.until("> list the files");
  tty.type("Create a file typed.txt that says typed\r");
  await tty.until("🔧 Write  typed.txt");
  await tty.until(/✓ Done in[\s\S]*✓ Done in/);
  const before = tty.text().length;
  tty.type(`${endless}\r`);
  await tty.until("🔧 Bash  tail -f", { from: before });
  tty.type("\u0003");
  await tty.until("■ Stopped after", { from: before });
  tty.type("\u0004");
  expect(await tty.exit).toBe(0);
  const [session] = jsonLines(await cli("ls", "-o", "json"));
  expect(session?.status).toBe("idle");
});

test("stop a turn; stop where none runs", async () => {
  const id = await startEndless();
  expect((await cli("stop", id)).stdout).toBe(`Stopping the turn of ${id}.\n`);
  await expect.poll(async () => jsonLines(await cli("ls", "-o", "json"))[0]?.status, { timeout: 30_000 }).toBe("idle");
  expect((await cli("stop", "last")).stdout).toBe(`Nothing is running in ${id}.\n`);
});

test("the queue: send while a turn runs, list, change, remove, run now", async () => {
  const id = await startEndless();
  const first = await cli("send", id, "count to 2");
  expect(first.stdout).toBe(`Sent to ${id}. It waits for its turn: holdfast queue ${id}\n`);
  for (const text of ["count to 3", "count to 9"]) expect((await cli("send", id, text, "-o", "json")).code).toBe(0);
  expect((await cli("queue", "last")).stdout).toMatch(
    /^MESSAGE +STATE +SENT +TEXT\nsevt_\w+ +running +.*tail -f.*\nsevt_\w+ +next +.*count to 2\nsevt_\w+ +waits +.*count to 3\nsevt_\w+ +waits +.*count to 9\n$/,
  );
  const [, two = "", three = "", nine = ""] = jsonLines(await cli("queue", id, "-o", "json")).map((each) =>
    String(each.id),
  );
  expect((await cli("queue", "edit", "last", two, "Create a file two.txt that says two")).stdout).toContain(
    "now says: Create a file two.txt that says two",
  );
  expect((await cli("queue", "rm", id, nine)).stdout).toContain(`Removed ${nine}`);
  expect((await cli("queue", "now", id, three)).stdout).toContain("It runs now: count to 3");
  const states = async (of: string) =>
    eventsOf(await kit.log(id, account), "holdfast.message").flatMap((each) =>
      each.message_id === of ? [each.state] : [],
    );
  await expect.poll(() => states(two), { timeout: 60_000 }).toEqual(["edited", "started"]);
  expect(await states(three)).toEqual(["steered"]);
  expect(await states(nine)).toEqual(["removed"]);
  const text = (await cli("logs", id)).stdout;
  expect(text).toContain("· A message that waits for this turn's end: count to 9");
  expect(text).toContain("· The message was removed, Claude does not get it: count to 9");
  expect(text).toContain("· The turn is stopped for the message that follows\n\n> count to 3\n");
  expect(text).toContain("\n> Create a file two.txt that says two\n");
  expect(text).not.toContain("> count to 2\n");
}, 240_000);

test("what does not wait in the queue any more: what, why, what to do", async () => {
  await cli("run", "count to 2");
  const session = (await cli("ls", "-q")).stdout.trim();
  const done = eventsOf(await kit.log(session, account), "user.message")[0]?.id ?? "";
  const [empty, late, unknown, over] = await Promise.all([
    cli("queue", session),
    cli("queue", "edit", session, done, "too late"),
    cli("queue", "rm", session, "sevt_nothing"),
    cli("stop", session, "--message", done),
  ]);
  expect(empty).toMatchObject({ code: 0, stdout: "", stderr: `No message waits in ${session}.\n` });
  expect(late.code).toBe(1);
  expect(late.stderr).toMatch(/^Error: .*\n {2}Why: .*\n {2}What to do: .*holdfast stop/);
  expect(unknown.stderr).toMatch(/^Error: .*\n {2}Why: .*\n {2}What to do: `holdfast queue ID` lists what waits\.\n$/);
  expect(over.stdout).toBe(`The turn of ${done} is over already.\n`);
});

test("stop called twice in a row does not stop the turn of the next message", async () => {
  const id = await startEndless();
  await cli("send", id, endless);
  const [stopped, again] = await Promise.all([cli("stop", id), cli("stop", id)]);
  expect(stopped.stdout).toBe(`Stopping the turn of ${id}.\n`);
  expect(again.code).toBe(0);
  const started = async () =>
    eventsOf(await kit.log(id, account), "holdfast.message").filter(({ state }) => state === "started").length;
  // The one that listed the files, the stopped one, and the next.
  await expect.poll(started, { timeout: 30_000 }).toBe(3);
  expect(jsonLines(await cli("ls", "-o", "json"))[0]?.status).toBe("running");
  const [runs] = jsonLines(await cli("queue", id, "-o", "json"));
  expect((await cli("stop", id, "--message", String(runs?.id))).stdout).toBe(`Stopping the turn of ${id}.\n`);
  await expect.poll(async () => jsonLines(await cli("ls", "-o", "json"))[0]?.status, { timeout: 30_000 }).toBe("idle");
});

test("run in a session whose turn runs waits for its own, and shows only that", async () => {
  const id = await startEndless();
  const run = cli("run", "-s", id, "count to 3");
  await expect.poll(async () => jsonLines(await cli("queue", id, "-o", "json")).length, { timeout: 30_000 }).toBe(2);
  await cli("stop", id);
  const { code, stdout, stderr } = await run;
  expect(stderr).toContain(`A turn is running: this waits for its end (holdfast queue ${id})`);
  expect(stdout).not.toContain("Stopped");
  expect(stdout).toMatch(/3[\s\S]*✓ Done in/);
  expect(code).toBe(0);
});

test("exec: output on its own streams, the command's exit code; stop a sandbox", async () => {
  await cli("run", "Create a file e.txt that says exec");
  const run = await cli("exec", "last", "--", "sh", "-c", "cat e.txt; echo oops >&2; exit 7");
  expect(run).toMatchObject({ code: 7, stdout: expect.stringMatching(/^exec/), stderr: "oops\n" });
  expect(jsonLines(await cli("exec", "last", "-o", "json", "--", "echo", "hi"))).toEqual([
    { type: "stdout", text: "hi\n" },
    { type: "exit", code: 0 },
  ]);
  expect((await cli("exec", "last", "--root", "--", "id", "-u")).stdout).toBe("0\n");
  const [sandbox] = jsonLines(await cli("sandboxes", "-o", "json"));
  expect(sandbox).toMatchObject({ workspace: "default", state: "running" });
  expect((await cli("stop", String(sandbox?.id))).stdout).toContain("is kept");
  const gone = await cli("exec", "last", "--", "true");
  expect(gone.code).toBe(1);
  expect(gone.stderr).toContain("has no running sandbox");
  expect((await cli("run", "-s", "last", "run `cat e.txt`")).stdout).toContain("exec");
});

test("sh: a shell in the sandbox of a session, and its exit code; refused without a terminal", async () => {
  await cli("run", "list the files");
  const tty = terminal(["sh", "last"], envOf());
  await tty.until(":/mnt/workspace$ ");
  tty.type("cd /usr/lib && echo in-$((40+2))\r");
  await tty.until("in-42");
  await tty.until(":/usr/lib$ ");
  tty.type("tail -f /dev/null\r");
  const left = async () => (await kit.exec(["pgrep", "-f", "tail -f /dev/null"], { account })).stdout.trim();
  await expect.poll(left, { timeout: 20_000 }).not.toBe("");
  tty.type("\u0003");
  await tty.until("^C");
  await expect.poll(left, { timeout: 20_000 }).toBe("");
  tty.type("exit\r");
  expect(await tty.exit).toBe(130);
  const piped = await cli("sh", "last");
  expect(piped.code).toBe(1);
  expect(piped.stderr).toContain("holdfast exec ID -- bash");
});

test("rm deletes after a question, or with --yes; never in silence", async () => {
  await cli("run", "list the files");
  const piped = await cli("rm", "last");
  expect(piped).toMatchObject({ code: 2, stderr: expect.stringContaining("--yes") });
  const tty = terminal(["rm", "last"], envOf());
  await tty.until("[y/N]");
  tty.type("n\r");
  expect(await tty.exit).toBe(1);
  expect((await cli("ls", "-q")).stdout).not.toBe("");
  expect((await cli("rm", "last", "--yes")).stdout).toContain("The workspace's files are still there");
  expect((await cli("ls", "-q")).stdout).toBe("");
});

test("keys: a new one works, a revoked one is refused in words", async () => {
  const [key] = jsonLines(await cli("key", "add", "laptop", "-o", "json"));
  const withKey = (...args: string[]) => holdfast(args, { ...envOf(), HOLDFAST_API_KEY: String(key?.api_key) });
  expect((await withKey("ls")).code).toBe(0);
  expect((await cli("key", "list")).stdout).toMatch(/key_\w+ +hfk_\S+… +laptop +just now +just now +valid/);
  expect((await cli("key", "revoke", String(key?.id))).code).toBe(0);
  const refused = await withKey("ls");
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain("The server does not accept your key");
  expect(refused.stderr).toContain("holdfast login");
});

test("workspaces: add, use, rename, delete", async () => {
  expect((await cli("workspace", "add", "site")).code).toBe(0);
  await cli("run", "-w", "site", "Create a file index.html that says hi");
  expect((await cli("workspace", "rename", "site", "page")).stdout).toContain("is now called page");
  expect((await cli("workspace", "list")).stdout).toMatch(/page +wsp_/);
  expect((await cli("workspace", "rm", "page", "-y")).stdout).toContain("with its files and ended 1 session");
  expect((await cli("workspace", "rm", "page", "-y")).stderr).toContain('You have no workspace named "page"');
});

test("an account is deleted by the administrator, who is asked first", async () => {
  const env = { ...envOf(), HOLDFAST_URL: "", HOLDFAST_API_KEY: "", XDG_CONFIG_HOME: mkdtempSync(join(home, "rm-")) };
  await holdfast(["login", kit.system.loginUrl], env);
  const [made] = jsonLines(await holdfast(["account", "add", "leaver", "-o", "json"], env));
  const own = { ...envOf(), HOLDFAST_API_KEY: String(made?.api_key) };
  expect((await holdfast(["run", "Create a file a.txt that says hi"], own)).code).toBe(0);
  const refused = await holdfast(["account", "rm", "leaver", "--yes"], own);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain("Only the installation's administrator may do this");
  expect((await holdfast(["account", "rm", "leaver"], env)).stderr).toContain("Add --yes if you are sure");
  expect((await holdfast(["account", "rm", "default", "--yes"], env)).stderr).toContain("cannot be deleted");
  const gone = await holdfast(["account", "rm", "leaver", "--yes"], env);
  expect(gone.stdout).toBe("Deleted account leaver with 1 session and 1 workspace.\n");
  expect(gone.stderr).toContain("Kept: Copies that were saved to S3");
  expect((await holdfast(["ls"], own)).stderr).toContain("The server does not accept your key");
  expect((await holdfast(["account", "list"], env)).stdout).not.toContain(String(made?.id));
  expect((await holdfast(["account", "rm", "leaver", "--yes"], env)).stderr).toContain('no account named "leaver"');
});

test("login by the start link, by the data directory, and by a key; the file is private", async () => {
  const env = {
    ...envOf(),
    HOLDFAST_URL: "",
    HOLDFAST_API_KEY: "",
    XDG_CONFIG_HOME: mkdtempSync(join(home, "login-")),
  };
  const file = join(env.XDG_CONFIG_HOME, "holdfast", "config.json");
  const stored = () => JSON.parse(readFileSync(file, "utf8")) as { url: string; apiKey: string };
  expect((await holdfast(["ls"], env)).stderr).toContain("No server is known");
  expect((await holdfast(["login", kit.system.loginUrl], env)).stdout).toBe(`Logged in to ${kit.url} as default.\n`);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(stored().url).toBe(kit.url);
  const byDir = await holdfast(["login", "--data-dir", kit.dataDir, "--server", kit.url], env);
  expect(byDir.stdout).toContain("as default");
  expect((await holdfast(["account", "list"], env)).stdout).toContain(account.id);
  expect((await holdfast(["login", kit.url, "--key", account.apiKey], env)).stdout).toContain(`as ${account.name}`);
  expect(stored().apiKey).toBe(account.apiKey);
  const wrong = await holdfast(["login", kit.url, "--key", "hfk_wrong"], env);
  expect(wrong.code).toBe(1);
  expect(stored().apiKey).toBe(account.apiKey);
  // A stored key is never sent to another server.
  const other = await holdfast(["ls", "--server", "http://127.0.0.1:9"], env);
  expect(other.stderr).toContain("There is no key for http://127.0.0.1:9");
});

test("login --anthropic-key in a terminal does not show what is typed", async () => {
  const env = {
    ...envOf(),
    HOLDFAST_URL: "",
    HOLDFAST_API_KEY: "",
    XDG_CONFIG_HOME: mkdtempSync(join(home, "login-")),
  };
  await holdfast(["login", kit.system.loginUrl], env);
  const tty = terminal(["login", "--anthropic-key"], env);
  await tty.until("(not shown)");
  tty.type("not-a-key-at-all\r");
  expect(await tty.exit).toBe(1);
  expect(tty.text()).not.toContain("not-a-key");
  expect(tty.text()).toContain("does not look like an Anthropic API key");
});

test("doctor: every line has a verdict, every problem a remedy; the bundle has no secrets", async () => {
  const bundle = join(home, "bundle.json");
  const run = await cli("doctor", "--data-dir", kit.dataDir, "--bundle", bundle);
  expect(run.code, run.stdout).toBe(0);
  expect(run.stdout).toContain(`${kit.url} is ready`);
  expect(run.stdout).toContain("a scripted demo answers, not Claude");
  const lines = run.stdout.split("\n");
  for (const [i, line] of lines.entries()) if (line.includes("PROBLEM")) expect(lines[i + 1]).toContain("→");
  const written = readFileSync(bundle, "utf8");
  const secrets = Object.values(JSON.parse(readFileSync(join(kit.dataDir, "secrets.json"), "utf8")) as object);
  for (const secret of [account.apiKey, ...secrets])
    if (String(secret).length >= 12) expect(written).not.toContain(secret);
  const down = await holdfast(["doctor", "--data-dir", home, "-o", "json"], {
    ...envOf(),
    HOLDFAST_URL: "http://127.0.0.1:9",
  });
  expect(down.code).toBe(1);
  const problems = jsonLines(down).filter(({ verdict }) => verdict === "problem");
  expect(problems.length).toBeGreaterThan(0);
  for (const each of problems) expect(String(each.remedy)).toMatch(/\w/);
});

test.each([
  ["server down", "http://127.0.0.1:9", "The server does not answer", "holdfast up"],
  ["unknown host", "http://nowhere.invalid", "The server does not answer", "--server URL"],
])("%s: what, why, what to do", async (_name, url, what, todo) => {
  const run = await holdfast(["ls"], { ...envOf(), HOLDFAST_URL: url });
  expect(run.code).toBe(1);
  expect(run.stderr).toContain(`Error: ${what}`);
  expect(run.stderr).toMatch(/Why: .+/);
  expect(run.stderr).toContain(todo);
  expect(run.stderr).not.toMatch(/^\s+at /m);
});

test("a server that is not Holdfast is told apart", async () => {
  const server = createServer((_request, response) => response.writeHead(404).end("<h1>nothing</h1>")).listen(
    0,
    "127.0.0.1",
  );
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const run = await holdfast(["ls"], { ...envOf(), HOLDFAST_URL: url });
  server.close();
  expect(run).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("Check that the address is a Holdfast server's"),
  });
});

test("unknown sessions and commands, and errors as JSON", async () => {
  expect((await cli("logs", "sesn_nothing")).stderr).toContain("`holdfast ls` lists your sessions");
  expect(await cli("lgos")).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("Did you mean `holdfast logs`?"),
  });
  const asJson = await cli("logs", "sesn_nothing", "-o", "json");
  expect(JSON.parse(asJson.stderr)).toMatchObject({ error: { what: expect.stringContaining("no session") } });
});

test("--help and completion are quick and start nothing", async () => {
  const tookMs: number[] = [];
  for (let tries = 0; tries < 3; tries++) {
    const begun = performance.now();
    const run = await holdfast(["--help"], { HOLDFAST_URL: "", PATH: "/nonexistent", HOME: "/nonexistent" });
    expect(run.code).toBe(0);
    tookMs.push(performance.now() - begun);
  }
  // 80 ms on a quiet machine; generous, and the best of three, because tests of others may run beside.
  expect(Math.min(...tookMs)).toBeLessThan(1500);
  const script = join(home, "completion.bash");
  writeFileSync(script, (await cli("completion", "bash")).stdout);
  const complete = spawn("bash", [
    "-c",
    `source "$0"; COMP_WORDS=(holdfast at); COMP_CWORD=1; _holdfast; echo "\${COMPREPLY[@]}"`,
    script,
  ]);
  let out = "";
  for await (const chunk of complete.stdout) out += String(chunk);
  expect(out.trim()).toBe("attach");
});
