import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { type LocalSystem, localSystem } from "./_local-server.ts";

/** A start that ends at once, mostly before the message is there to be said. */
const times = 8;
let it: LocalSystem;
beforeAll(async () => {
  it = await localSystem();
});
afterAll(() => it?.[Symbol.asyncDispose]());
afterEach(() => {
  it.sandboxes.stage.wrapper = [];
});

test("a process that ends at its start: its exit code and its words are in the session's error", async () => {
  it.sandboxes.stage.wrapper = ["sh", "-c", "echo the licence daemon is asleep >&2; exit 3"];
  for (let n = 0; n < times; n++) {
    const session = await it.session(`ends-${n}`);
    await session.send("go");
    await session.idle();
    expect((await session.eventsOf("session.error"))[0]?.holdfast).toMatchObject({
      code: "claude_start_failed",
      exit_code: 3,
      output: expect.stringContaining("the licence daemon is asleep"),
    });
  }
});

test("one that does not know its conversation at its start is begun anew", async () => {
  const forgets = 'case " $* " in *" --resume "*) echo No conversation found >&2; exit 1;; esac; exec "$@"';
  it.sandboxes.stage.wrapper = ["sh", "-c", forgets, "sh"];
  for (let n = 0; n < times; n++) {
    const session = await it.session(`forgets-${n}`);
    await session.send("go");
    await session.idle();
    const first = it.sandboxes.stage.started.at(-1);
    if (first !== undefined) process.kill(first.pid, "SIGKILL");
    await first?.ended();
    await session.send("again");
    await session.until(
      "the second end",
      (all) => all.filter(({ type }) => type === "session.status_idle").length === 2,
    );
    expect(await session.outcomes()).toEqual(["completed", "completed"]);
  }
});
