import type { SessionSettings } from "@holdfast/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { answer, answering, begin, controlAnswer, init, isInterrupt, result, stopped } from "./_claude-lines.ts";
import type { Line, LocalClaude } from "./_local-claude.ts";
import { type LocalSession, type LocalSystem, localSystem } from "./_local-server.ts";

let it: LocalSystem;
beforeAll(async () => {
  it = await localSystem();
});
afterAll(() => it?.[Symbol.asyncDispose]());

const settingsOf = async (session: LocalSession) =>
  ((await session.call("GET", `/v1/sessions/${session.id}`)).body.holdfast as { settings: SessionSettings }).settings;
const set = (session: LocalSession, settings: object) =>
  session.call("POST", `/v1/sessions/${session.id}`, { holdfast: { settings } });
const request = (subtype: string) => (line: Line) =>
  line.type === "control_request" && (line.request as Line).subtype === subtype;
const status = (permissionMode: string): Line => ({ type: "system", subtype: "status", status: null, permissionMode });
const flag = ({ argv }: LocalClaude, name: string) => {
  const at = argv.indexOf(name);
  return at === -1 ? undefined : argv[at + 1];
};
const newest = () => it.sandboxes.stage.started.at(-1) as LocalClaude;
const notices = async (session: LocalSession) =>
  (await session.eventsOf("holdfast.notice")).filter(({ kind }) => kind === "settings").map(({ text }) => text);

/** The next process of the session begins a turn in this mode, whatever it was started with. */
async function turn(session: LocalSession, turns: number, script = answering): Promise<LocalClaude> {
  it.sandboxes.stage.script = script;
  await session.send("go on");
  await session.idle(turns);
  return newest();
}

const endProcess = async (session: LocalSession) => {
  const claude = newest();
  await claude.exit(0);
  await session.until(
    "its end",
    () => it.rows("select id from processes where session_id = ? and state <> 'ended'", session.id).length === 0,
  );
};

/** Answers what a host asks, as Claude Code does; `changes`: the mode that it goes into in its first turn. */
function speaking(changes?: string): (claude: LocalClaude) => Promise<void> {
  return async (claude) => {
    let mode = flag(claude, "--permission-mode") ?? "";
    let model = "claude-local";
    for (let turns = 0; ; ) {
      const line = await claude.next();
      if (line.type === "user") {
        begin(claude, line, { permissionMode: mode, model });
        if (changes !== undefined && turns++ === 0) {
          mode = changes;
          claude.print(status(mode));
        }
        claude.print(result([line]));
      } else if (request("set_permission_mode")(line)) {
        const asked = (line.request as { mode: string }).mode;
        claude.print(controlAnswer(line, { mode: asked }));
        if (asked !== mode) claude.print(status(asked));
        mode = asked;
      } else if (request("set_model")(line)) {
        model = `claude-${(line.request as { model: string }).model}-1`;
        claude.print(controlAnswer(line, { model }));
      } else if (line.type === "control_request") claude.print(controlAnswer(line));
      else if (line.type === "end") return await claude.exit(0);
    }
  };
}

describe("what Claude set itself", () => {
  test("is given again when a new process is started", async () => {
    const session = await it.session();
    await turn(session, 1, speaking("plan"));
    expect((await settingsOf(session)).permission_mode).toBe("plan");
    await endProcess(session);
    const next = await turn(session, 2, speaking());
    expect([flag(next, "--permission-mode"), next.argv.includes("--dangerously-skip-permissions")]).toEqual([
      "plan",
      false,
    ]);
    expect((await settingsOf(session)).permission_mode).toBe("plan");
    const told = (await session.eventsOf("session.updated")).map(({ holdfast }) => holdfast?.settings.permission_mode);
    expect(told).toEqual(["plan"]);
  });

  test("stays over a restart of the server, in the process that lives", async () => {
    const session = await it.session();
    await turn(session, 1, speaking("plan"));
    await it.restart();
    await session.send("go on");
    await session.idle(2);
    expect((await settingsOf(session)).permission_mode).toBe("plan");
    expect(newest().heard.filter(request("set_permission_mode"))).toEqual([]);
  });

  test("counts for a model and an effort of its own commands", async () => {
    const session = await it.session();
    await turn(session, 1, async (claude) => {
      const first = await claude.nextUser();
      begin(claude, first);
      const called = "<command-name>/effort</command-name>\n<command-args>max</command-args>";
      claude.print({ type: "user", message: { role: "user", content: called }, isReplay: true }, result([first]));
      const second = await claude.nextUser();
      claude.print(init(claude, { model: "claude-other" }), result([second]));
      await answering(claude);
    });
    await session.send("hello");
    await session.idle(2);
    expect(await settingsOf(session)).toMatchObject({ model: "claude-other", effort: "max" });
    await endProcess(session);
    const next = await turn(session, 3);
    expect([flag(next, "--model"), flag(next, "--effort")]).toEqual(["claude-other", "max"]);
  });
});

describe("what a client sets", () => {
  test("reaches a living process at once, and every later one", async () => {
    const session = await it.session();
    const claude = await turn(session, 1, speaking());
    const { status: code } = await set(session, { permission_mode: "acceptEdits", model: "opus", effort: "high" });
    expect(code).toBe(200);
    expect((await claude.hears(request("set_permission_mode"))).request).toMatchObject({ mode: "acceptEdits" });
    expect((await claude.hears(request("set_model"))).request).toMatchObject({ model: "opus" });
    const effort = await claude.hears(request("apply_flag_settings"));
    expect(effort.request).toMatchObject({ settings: { effortLevel: "high" } });
    await session.send("again");
    await session.idle(2);
    const wanted = { permission_mode: "acceptEdits", model: "opus", effort: "high" };
    // The name behind the alias, which the process begins its turns with now, is no other choice.
    expect(await settingsOf(session)).toEqual(wanted);
    await endProcess(session);
    const next = await turn(session, 3, speaking());
    expect(["--permission-mode", "--model", "--effort"].map((name) => flag(next, name))).toEqual(Object.values(wanted));
    expect(await notices(session)).toEqual([]);
  });

  test("counts from the next start where no process lives, also from the session's creation on", async () => {
    const { key } = it.path(await it.session(), "");
    const created = await it.server.fetch("/v1/sessions", {
      key,
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ holdfast: { settings: { permission_mode: "plan", effort: "low" } } }),
    });
    const body = (await created.json()) as { id: string; holdfast: { settings: SessionSettings } };
    expect(body.holdfast.settings).toEqual({ permission_mode: "plan", model: null, effort: "low" });
    const session = await it.session();
    await set(session, { model: "sonnet" });
    const claude = await turn(session, 1, speaking());
    expect([flag(claude, "--model"), flag(claude, "--permission-mode")]).toEqual(["sonnet", "bypassPermissions"]);
    expect(claude.heard.filter(request("set_model"))).toEqual([]);
  });

  test("is told again after a restart of the server that came in between, once", async () => {
    const session = await it.session();
    const claude = await turn(session, 1, speaking());
    await it.stopServer();
    it.write(
      "update sessions set model = 'haiku', settings_seq = last_seq, mode_seq = last_seq, permission_mode = 'default' where id = ?",
      session.id,
    );
    await it.restart();
    await claude.hears(request("set_model"));
    await claude.hears(request("set_permission_mode"));
    await it.restart();
    await session.send("again");
    await session.idle(2);
    expect(claude.heard.filter(request("set_permission_mode"))).toHaveLength(1);
    expect(claude.heard.filter(request("set_model"))).toHaveLength(1);
    expect((await settingsOf(session)).permission_mode).toBe("default");
  });

  test("is taken back where Claude Code refuses it, and said", async () => {
    const session = await it.session();
    const claude = await turn(session, 1, async (each) => {
      answer(each, await each.nextUser());
      const line = await each.next(request("set_model"));
      const { request_id } = line;
      each.print({ type: "control_response", response: { subtype: "error", request_id, error: "model not found" } });
      await answering(each);
    });
    await set(session, { model: "nonsense" });
    await session.until("a word of it", (events) => events.some((each) => each.type === "holdfast.notice"));
    expect(await notices(session)).toEqual(["Claude Code does not take this model: model not found"]);
    expect((await settingsOf(session)).model).toBeNull();
    expect(claude.isGone).toBe(false);
  });

  test("bypassPermissions begins with the next message, in a process that was started for it", async () => {
    const session = await it.session();
    await set(session, { permission_mode: "default" });
    const careful = await turn(session, 1, speaking());
    expect(careful.argv.includes("--dangerously-skip-permissions")).toBe(false);
    await set(session, { permission_mode: "bypassPermissions" });
    const next = await turn(session, 2, speaking());
    expect(next).not.toBe(careful);
    expect(next.argv).toContain("--dangerously-skip-permissions");
    expect(careful.heard.filter(request("set_permission_mode"))).toEqual([]);
    expect((await settingsOf(session)).permission_mode).toBe("bypassPermissions");
  });

  test.each([
    [{ permission_mode: "auto" }, "holdfast.settings.permission_mode"],
    [{ model: "--dangerously-skip-permissions" }, "holdfast.settings.model"],
    [{ effort: "endless" }, "holdfast.settings.effort"],
    [{ mode: "plan" }, "holdfast.settings.mode"],
  ])("%j is refused by name", async (settings, path) => {
    const session = await it.session();
    const { status: code, body } = await set(session, settings);
    expect([code, JSON.stringify(body)]).toEqual([400, expect.stringContaining(path)]);
  });
});

test("a process that begins with more than the session is set to is stopped before it acts, and told", async () => {
  const session = await it.session();
  await set(session, { permission_mode: "plan" });
  const corrected = Promise.withResolvers<Line>();
  const claude = await turn(session, 1, async (each) => {
    const user = await each.nextUser();
    begin(each, user, { permissionMode: "bypassPermissions" });
    await each.next(isInterrupt);
    each.print(stopped([user]));
    corrected.resolve(await each.next(request("set_permission_mode")));
    await answering(each);
  });
  expect((await corrected.promise).request).toMatchObject({ mode: "plan" });
  expect(await notices(session)).toEqual([expect.stringContaining("instead of plan")]);
  expect((await settingsOf(session)).permission_mode).toBe("plan");
  expect(claude.isGone).toBe(false);
});

test("a mode that a process does not take is said before it acts", async () => {
  const session = await it.session();
  await turn(session, 1, async (claude) => {
    const user = await claude.nextUser();
    begin(claude, user, { permissionMode: "default" });
    claude.print(result([user]));
    await answering(claude);
  });
  expect(await notices(session)).toEqual([expect.stringContaining("does not take the permission mode")]);
  expect((await settingsOf(session)).permission_mode).toBe("default");
});
