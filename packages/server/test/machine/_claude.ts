import {
  controlAnswer,
  echo,
  init,
  lifecycle,
  modeOf,
  result,
  stopped,
  text,
  toolResult,
  toolUse,
} from "../_claude-lines.ts";
import type { Line } from "../_local-claude.ts";
import { brief, type ClaudeNotes, type Told } from "./_claude-notes.ts";
import type { Random } from "./_random.ts";

export interface ClaudeOutput {
  print(text: string): void;
  complain(text: string): void;
  exit(code: number | null, signal: string | null): void;
}

interface RunningTurn {
  users: Line[];
  own: boolean;
  /** A call that runs. */
  tool: string | undefined;
  /** A question that waits, and the call that it is about. */
  asks: { requestId: string; toolId: string } | undefined;
  spoke: boolean;
}

export const steps = [
  "begin",
  "words",
  "tool",
  "tool ends",
  "ask",
  "result",
  "agent",
  "agent ends",
  "shell",
  "plan",
] as const;
export type ClaudeStep = (typeof steps)[number];

const line = (subtype: string, more: Line): Line => ({ type: "system", subtype, ...more });
const state = (now: string): Line => line("session_state_changed", { state: now });

/** Claude Code 2.1.330 as it was measured: what it hears, what it prints, what it keeps. Its pace is the caller's. */
export class ClaudeModel {
  readonly processId: string;
  readonly sessionId: string;
  readonly argv: readonly string[];
  /** Says and does nothing, whatever it hears. */
  deaf = false;
  ended = false;
  readonly #output: ClaudeOutput;
  readonly #notes: ClaudeNotes;
  readonly #random: Random;
  /** Its own queue. */
  #queue: Line[] = [];
  #turn: RunningTurn | undefined;
  #tasks: { id: string; type: "local_agent" | "local_bash" }[] = [];
  /** Turns that tasks which have ended begin. */
  #wakes = 0;
  #hasSaidRunning = false;
  #inputEnded = false;
  #mode: string;
  #unheard: string[] = [];
  #lastFailed = false;

  constructor(
    { processId, argv }: { processId: string; argv: readonly string[] },
    parts: { output: ClaudeOutput; notes: ClaudeNotes; random: Random },
  ) {
    this.processId = processId;
    this.argv = argv;
    this.#output = parts.output;
    this.#notes = parts.notes;
    this.#random = parts.random;
    const flag = argv.includes("--resume") ? "--resume" : "--session-id";
    this.sessionId = argv[argv.indexOf(flag) + 1] ?? "";
    this.#mode = modeOf(this);
    this.#noteMode("start");
  }

  /** It may refuse to begin at all. */
  start(): void {
    const isKnown = (this.#notes.conversations.get(this.sessionId)?.size ?? 0) > 0;
    const resumes = this.argv.includes("--resume");
    if (resumes === isKnown) return;
    const why = resumes ? "No conversation found with session ID" : "Error: Session ID";
    this.#output.complain(`${why} ${this.sessionId}${resumes ? "" : " is already in use."}\n`);
    this.#exit(1, null);
  }

  hear(text: string): void {
    if (this.ended) return;
    const heard = JSON.parse(text) as Line;
    this.#say(`hears ${brief(heard)}`);
    if (heard.type === "user") this.#note(heard);
    if (this.deaf) this.#unheard.push(text);
    else this.#take(heard);
  }

  /** It hears again, and what it did not hear. */
  wake(): void {
    this.deaf = false;
    for (const text of this.#unheard.splice(0)) if (!this.ended) this.#take(JSON.parse(text) as Line);
    this.#leaveIfDone();
  }

  endOfInput(): void {
    this.#inputEnded = true;
    this.#leaveIfDone();
  }

  signal(name: string): void {
    if (this.ended) return;
    if (name === "SIGKILL") this.#exit(null, "SIGKILL");
    else if (!this.deaf) {
      if (this.#turn !== undefined) this.#stopTurn();
      this.#exit(0, null);
    }
  }

  /** Ends by itself, in the middle of whatever it does. */
  crash(code: number): void {
    if (!this.ended) this.#exit(code, null);
  }

  /** Does one thing, if it is one that it can do now. */
  step(step: ClaudeStep): void {
    if (this.ended || this.deaf) return;
    if (step === "begin") this.#begin();
    else if (step === "words") this.#words();
    else if (step === "tool") this.#tool();
    else if (step === "tool ends") this.#toolEnds();
    else if (step === "ask") this.#ask();
    else if (step === "result") this.#result();
    else if (step === "agent" || step === "shell") this.#task(step);
    else if (step === "agent ends") this.#taskEnds();
    else this.#plan();
    this.#leaveIfDone();
  }

  /** What it would do next by itself, if nothing keeps it; false at rest. */
  goOn(): boolean {
    if (this.ended || this.deaf || this.#turn?.asks !== undefined) return false;
    const turn = this.#turn;
    if (turn?.tool !== undefined) this.step("tool ends");
    else if (turn !== undefined) this.step(turn.spoke ? "result" : "words");
    else if (this.#queue.length > 0 || this.#wakes > 0) this.step("begin");
    else if (this.#hasAgents) this.step("agent ends");
    else return false;
    return true;
  }

  /** In a turn, or with an agent. */
  get isWorking(): boolean {
    return !this.ended && (this.#turn !== undefined || this.#hasAgents);
  }

  /** Has something in hand, or something runs that it has begun. */
  get isBusy(): boolean {
    return !this.ended && !(this.#atRest && this.#tasks.length === 0);
  }

  #noteMode(by: "start" | "server" | "claude"): void {
    this.#notes.modes.push({ at: this.#notes.now(), processId: this.processId, mode: this.#mode, by });
  }

  get #hasAgents(): boolean {
    return this.#tasks.some(({ type }) => type === "local_agent");
  }

  get #atRest(): boolean {
    return this.#turn === undefined && this.#queue.length === 0 && this.#wakes === 0 && !this.#hasAgents;
  }

  #say(what: string): void {
    this.#notes.say(`    ${this.processId.slice(-4)} ${what}`);
  }

  #print(...lines: Line[]): void {
    this.#say(`prints ${lines.map(brief).join(", ")}`);
    this.#output.print(lines.map((each) => `${JSON.stringify(each)}\n`).join(""));
  }

  #exit(code: number | null, signal: string | null): void {
    this.ended = true;
    this.#say(`exits ${signal ?? code}`);
    this.#output.exit(code, signal);
  }

  #note(user: Line): void {
    const { content } = user.message as { content: { text?: string }[] };
    const words = content.map((block) => block.text ?? "").join("");
    const { processId, sessionId: conversation } = this;
    const fresh = { at: this.#notes.now(), begun: false, answered: false, result: undefined };
    this.#notes.told.push({ processId, conversation, uuid: String(user.uuid), words, ...fresh });
  }

  #toldOf(users: readonly Line[]): Told[] {
    return this.#notes.told.filter(
      ({ processId, uuid }) => processId === this.processId && users.some((user) => user.uuid === uuid),
    );
  }

  #take(heard: Line): void {
    if (heard.type === "user") this.#message(heard);
    else if (heard.type === "control_response") this.#answered(heard.response as Line);
    else if (heard.type === "control_request") this.#requested(heard, heard.request as Line);
  }

  #message(user: Line): void {
    const isNow = user.priority === "now";
    if (isNow) this.#queue.unshift(user);
    else this.#queue.push(user);
    this.#print(lifecycle(user, "queued"));
    const turn = this.#turn;
    if (!isNow || turn === undefined || turn.tool !== undefined || turn.asks !== undefined) return;
    // An answer that streams is ended for it, a tool is not.
    this.#end(turn, result(turn.users, { terminal_reason: "aborted_streaming" }), "stopped");
    this.#begin();
  }

  #requested(request: Line, { subtype, ...more }: Line): void {
    // What it was about to do comes first, now and then.
    if (subtype === "interrupt" && this.#random.below(3) === 0) this.goOn();
    if (this.ended) return;
    if (subtype === "interrupt") this.#interrupt(request, more.cancel_queued === true);
    else if (subtype === "set_permission_mode") {
      this.#mode = String(more.mode);
      this.#noteMode("server");
      this.#print(controlAnswer(request, { mode: this.#mode }));
    } else {
      if (subtype === "stop_task") this.#tasks = this.#tasks.filter(({ id }) => id !== more.task_id);
      if (subtype === "stop_task") this.#sayTasks();
      const answer = controlAnswer(request);
      const asks = this.#turn?.asks;
      if (subtype === "initialize")
        (answer.response as Line).pending_permission_requests = asks === undefined ? [] : [this.#question(asks)];
      this.#print(answer);
      this.#sayIdle();
    }
  }

  #interrupt(request: Line, cancelQueued: boolean): void {
    const cancelled = cancelQueued ? this.#queue.splice(0) : [];
    const answer = cancelQueued
      ? { still_queued: [], cancelled: cancelled.map(({ uuid }) => uuid) }
      : { still_queued: this.#queue.map(({ uuid }) => uuid) };
    this.#print(controlAnswer(request, answer), ...cancelled.map((user) => lifecycle(user, "cancelled")));
    const before = this.#tasks.length;
    this.#tasks = this.#tasks.filter(({ type }) => type !== "local_agent");
    if (this.#tasks.length < before) this.#sayTasks();
    if (this.#turn !== undefined) this.#stopTurn();
    this.#sayIdle();
    this.#leaveIfDone();
  }

  #answered({ request_id: requestId, response }: Line): void {
    const turn = this.#turn;
    // What is not asked any more is ignored.
    if (turn?.asks === undefined || turn.asks.requestId !== requestId) return;
    const { toolId } = turn.asks;
    const { behavior, interrupt } = response as Line;
    turn.asks = undefined;
    turn.spoke = true;
    this.#print(toolResult(toolId, behavior === "allow" ? "done" : "refused"));
    if (interrupt === true) this.#stopTurn();
    this.#leaveIfDone();
  }

  #begin(): void {
    if (this.#turn !== undefined) return;
    const isOwn = this.#queue.length === 0;
    if (isOwn && this.#wakes === 0) return;
    const running = this.#hasSaidRunning ? [] : [state("running")];
    this.#hasSaidRunning = true;
    this.#turn = { users: [], own: isOwn, tool: undefined, asks: undefined, spoke: false };
    if (isOwn) {
      this.#wakes--;
      this.#print(...running, this.#init());
      return;
    }
    // What came with priority runs alone; the rest is merged into one turn.
    const count = this.#queue[0]?.priority === "now" ? 1 : this.#queue.length;
    const users = this.#queue.splice(0, count);
    this.#join(this.#turn, users, [...running, ...users.map((user) => lifecycle(user, "started")), this.#init()]);
  }

  #init(): Line {
    return init(this, { permissionMode: this.#mode });
  }

  #join(turn: RunningTurn, users: Line[], first: Line[]): void {
    turn.users.push(...users);
    this.#print(...first, ...users.map(echo));
    const known = this.#notes.conversations.get(this.sessionId) ?? new Set();
    this.#notes.conversations.set(this.sessionId, known);
    for (const { uuid } of users) known.add(String(uuid));
    for (const told of this.#toldOf(users)) told.begun = true;
  }

  #acts(turn: RunningTurn): void {
    turn.spoke = true;
    for (const told of this.#toldOf(turn.users)) told.answered = true;
  }

  #words(): void {
    const turn = this.#turn;
    if (turn === undefined || turn.tool !== undefined || turn.asks !== undefined) return;
    this.#acts(turn);
    const words = `w${this.#notes.spoken.length}`;
    this.#notes.spoken.push({ processId: this.processId, words });
    this.#print(text(words));
  }

  #tool(): void {
    const turn = this.#turn;
    if (turn === undefined || turn.tool !== undefined || turn.asks !== undefined) return;
    this.#acts(turn);
    turn.tool = `toolu_${this.#random.uuid()}`;
    this.#print(toolUse(turn.tool, "Bash", { command: "true" }));
  }

  /** What waits is folded into the turn then. */
  #toolEnds(): void {
    const turn = this.#turn;
    if (turn?.tool === undefined) return;
    this.#print(toolResult(turn.tool, "done"));
    turn.tool = undefined;
    const users = this.#queue.splice(0);
    if (users.length > 0)
      this.#join(
        turn,
        users,
        users.map((user) => lifecycle(user, "started")),
      );
  }

  #ask(): void {
    const turn = this.#turn;
    if (turn === undefined || turn.tool !== undefined || turn.asks !== undefined) return;
    this.#acts(turn);
    turn.asks = { requestId: this.#random.uuid(), toolId: `toolu_${this.#random.uuid()}` };
    this.#print(toolUse(turn.asks.toolId, "Bash", { command: "touch one" }), this.#question(turn.asks));
  }

  #question({ requestId, toolId }: { requestId: string; toolId: string }): Line {
    const request = {
      subtype: "can_use_tool",
      tool_name: "Bash",
      input: { command: "touch one" },
      tool_use_id: toolId,
    };
    return { type: "control_request", request_id: requestId, request };
  }

  #result(): void {
    const turn = this.#turn;
    if (turn === undefined || turn.tool !== undefined || turn.asks !== undefined) return;
    const origin = turn.own ? { origin: { kind: "task-notification" } } : {};
    this.#end(turn, result(turn.users, origin), "completed");
    this.#lastFailed = false;
  }

  #end(turn: RunningTurn, said: Line, how: "completed" | "stopped"): void {
    for (const told of this.#toldOf(turn.users)) told.result = how;
    this.#turn = undefined;
    const after = how === "completed" ? "completed" : "cancelled";
    this.#print(said, ...turn.users.map((user) => lifecycle(user, after)));
    this.#sayIdle();
  }

  #stopTurn(): void {
    const turn = this.#turn;
    if (turn === undefined) return;
    const { asks, tool } = turn;
    if (asks !== undefined) this.#print({ type: "control_cancel_request", request_id: asks.requestId });
    const open = tool ?? asks?.toolId;
    if (open !== undefined) this.#print(toolResult(open, "The user doesn't want to proceed"));
    const reason = open === undefined ? "aborted_streaming" : "aborted_tools";
    const origin = turn.own ? { origin: { kind: "task-notification" } } : {};
    this.#lastFailed = true;
    this.#end(turn, stopped(turn.users, { terminal_reason: reason, ...origin }), "stopped");
  }

  #task(kind: "agent" | "shell"): void {
    const turn = this.#turn;
    if (turn === undefined || turn.tool !== undefined || turn.asks !== undefined || this.#tasks.length > 2) return;
    this.#acts(turn);
    const id = `task${this.#random.below(1_000_000)}`;
    const toolId = `toolu_${this.#random.uuid()}`;
    this.#tasks.push({ id, type: kind === "agent" ? "local_agent" : "local_bash" });
    this.#print(toolUse(toolId, kind === "agent" ? "Agent" : "Bash", { run_in_background: true }));
    this.#sayTasks();
    const more = { task_id: id, tool_use_id: toolId, description: id, is_backgrounded: true };
    this.#print(line("task_started", more), toolResult(toolId, "in the background"));
  }

  #taskEnds(): void {
    const ended = this.#tasks.find(({ type }) => type === "local_agent");
    if (ended === undefined) return;
    this.#tasks = this.#tasks.filter((task) => task !== ended);
    this.#wakes++;
    this.#sayTasks();
  }

  #sayTasks(): void {
    const tasks = this.#tasks.map(({ id, type }) => ({ task_id: id, task_type: type, description: id }));
    this.#print(line("background_tasks_changed", { tasks }));
  }

  /** Held back while an agent works. */
  #sayIdle(): void {
    if (!this.#hasSaidRunning || !this.#atRest) return;
    this.#hasSaidRunning = false;
    this.#print(state("idle"));
  }

  /** Claude plans first: by itself it becomes less permissive only. */
  #plan(): void {
    if (this.#turn === undefined || this.#turn.asks !== undefined || this.#mode === "plan") return;
    this.#mode = "plan";
    this.#noteMode("claude");
    this.#print(line("status", { status: null, permissionMode: "plan" }));
  }

  #leaveIfDone(): void {
    if (this.#inputEnded && !this.deaf && !this.ended && this.#atRest && this.#tasks.length === 0)
      this.#exit(this.#lastFailed ? 1 : 0, null);
  }
}
