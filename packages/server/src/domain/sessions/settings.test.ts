import { expect, test } from "vitest";
import {
  afterChange,
  afterLine,
  isOutdated,
  needsOtherProcess,
  permissiveness,
  type Settings,
  type SettingsLine,
  type ToldSettings,
} from "./settings.ts";

const modes = ["plan", "dontAsk", "default", "acceptEdits", "bypassPermissions"] as const;
const fresh: Settings = { permission_mode: null, model: null, effort: null };
const began = (mode: string, more: Partial<Extract<SettingsLine, { type: "began" }>> = {}): SettingsLine => ({
  type: "began",
  mode,
  model: "m",
  modelBefore: "m",
  isFirst: false,
  ...more,
});
const context = { launchMode: "bypassPermissions", isModePending: false };

test("the mode that Claude enters by itself is the session's from then on", () => {
  const { settings } = afterLine(fresh, { type: "mode", mode: "plan" }, context);
  expect(settings.permission_mode).toBe("plan");
  expect(afterLine(settings, began("plan", { isFirst: true }), context)).toEqual({
    settings,
    warning: null,
    correct: null,
    overtakes: false,
  });
});

test("a process that begins with more than the session is set to is stopped and corrected", () => {
  const plan = { ...fresh, permission_mode: "plan" };
  for (const isFirst of [true, false]) {
    const { settings, warning, correct } = afterLine(plan, began("bypassPermissions", { isFirst }), context);
    expect([settings.permission_mode, correct]).toEqual(["plan", "plan"]);
    expect(warning).toContain("instead of plan");
  }
  expect(afterLine(plan, began("of-tomorrow"), context).correct).toBe("plan");
});

test("what a process does not take is said, and is then what the session is set to", () => {
  const { settings, warning } = afterLine(fresh, began("default", { isFirst: true }), context);
  expect(settings.permission_mode).toBe("default");
  expect(warning).toContain("does not take the permission mode bypassPermissions");
});

test("a model of `/model` is kept; the one that a process begins with is not taken for a choice", () => {
  expect(afterLine(fresh, began("default", { model: "n", isFirst: true }), context).settings.model).toBeNull();
  expect(afterLine(fresh, began("default", { model: "n", modelBefore: null }), context).settings.model).toBeNull();
  expect(afterLine(fresh, began("default", { model: "n" }), context).settings.model).toBe("n");
});

test("an effort of `/effort` is kept, nonsense is not", () => {
  const after = (args: string, before = fresh) =>
    afterLine(before, { type: "command", name: "effort", args }, context).settings.effort;
  expect(after("max")).toBe("max");
  expect(after("lots", { ...fresh, effort: "low" })).toBe("low");
  expect(after("auto", { ...fresh, effort: "low" })).toBeNull();
  expect(afterLine(fresh, { type: "command", name: "model", args: "max" }, context).settings).toEqual(fresh);
});

/** One session and its processes, with everything in any order. */
class World {
  row = fresh;
  modeSeq = 0;
  seq = 0;
  process: { mode: string; told: ToldSettings; begun: boolean; inbox: { mode: string; seq: number }[] } | undefined;

  get wanted(): string {
    return this.row.permission_mode ?? "bypassPermissions";
  }

  get #context() {
    const isModePending = this.process !== undefined && this.process.told.mode_seq < this.modeSeq;
    return { launchMode: "bypassPermissions", isModePending };
  }

  read(line: SettingsLine): void {
    const { settings, correct, overtakes } = afterLine(this.row, line, this.#context);
    this.row = settings;
    if (overtakes && this.process !== undefined) this.process.told = { ...this.process.told, mode_seq: this.modeSeq };
    if (correct !== null && this.process !== undefined) this.process.mode = correct;
  }

  start(): void {
    const mode = this.wanted;
    const told = { launched: mode, launch_seq: this.modeSeq, mode_seq: this.modeSeq, model: null, effort: null };
    this.process = { mode, told, begun: false, inbox: [] };
  }

  /** A message: the process begins a turn, or another one does where it must. */
  turn(): void {
    const wanted = { mode: this.wanted, modeSeq: this.modeSeq };
    if (this.process === undefined || isOutdated(this.process.told, wanted)) this.start();
    const process = this.process;
    if (process === undefined) return;
    this.read(began(process.mode, { isFirst: !process.begun }));
    process.begun = true;
  }

  /** Claude, or an approved plan. */
  itself(mode: string): void {
    if (this.process?.begun !== true || this.process.mode === mode) return;
    this.process.mode = mode;
    this.read({ type: "mode", mode });
  }

  client(mode: (typeof modes)[number]): void {
    this.row = afterChange(this.row, { permission_mode: mode });
    this.modeSeq = ++this.seq;
    this.tell();
  }

  tell(): void {
    const { process } = this;
    if (process === undefined || process.told.mode_seq >= this.modeSeq) return;
    if (!needsOtherProcess(process.told, this.wanted)) process.inbox.push({ mode: this.wanted, seq: this.modeSeq });
  }

  /** The process takes one request; its answer says so. */
  take(): void {
    const request = this.process?.inbox.shift();
    if (request === undefined || this.process === undefined) return;
    this.process.mode = request.mode;
    this.process.told = { ...this.process.told, mode_seq: Math.max(this.process.told.mode_seq, request.seq) };
    if (request.seq === this.modeSeq) this.row = { ...this.row, permission_mode: request.mode };
  }

  die(): void {
    this.process = undefined;
  }
}

function random(seed: number): (below: number) => number {
  let a = seed;
  return (below) => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

test("in no order of events does a session begin a turn with more than somebody has set", () => {
  for (let seed = 1; seed <= 5_000; seed++) {
    const next = random(seed);
    const world = new World();
    const mode = () => modes[next(modes.length)] ?? "default";
    const steps: string[] = [];
    const acts: Record<string, () => void> = {
      turn: () => world.turn(),
      itself: () => world.itself(mode()),
      client: () => world.client(mode()),
      take: () => world.take(),
      die: () => world.die(),
    };
    for (let step = 0; step < 12; step++) {
      const before = world.wanted;
      const name = Object.keys(acts)[next(5)] ?? "turn";
      acts[name]?.();
      steps.push(`${name} ${world.wanted}`);
      const why = `seed ${seed}: ${steps.join(", ")}`;
      if (name === "turn" || name === "die")
        expect(permissiveness(world.wanted), why).toBeLessThanOrEqual(permissiveness(before));
    }
    // All that was said has arrived: everybody knows the same.
    while ((world.process?.inbox.length ?? 0) > 0) world.take();
    world.turn();
    expect(world.process?.mode, `seed ${seed}: ${steps.join(", ")}`).toBe(world.wanted);
  }
});
