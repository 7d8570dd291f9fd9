import type { Flow } from "./flow.ts";
import type { ModelRequest } from "./request.ts";
import type { ScriptToolUse, ScriptTurn } from "./types.ts";

type Status = "pending" | "in_progress" | "completed";

/** Keeps the session's to-do list in step with the work, with whichever tool the CLI has for it. */
export class TodoList {
  readonly #tool: "TodoWrite" | "TaskCreate";
  readonly #deferred: boolean;
  readonly #titles: readonly string[];
  readonly #status: Status[];
  #ids: string[] = [];
  #calls: ScriptToolUse[] = [];

  private constructor(tool: "TodoWrite" | "TaskCreate", deferred: boolean, titles: readonly string[]) {
    this.#tool = tool;
    this.#deferred = deferred;
    this.#titles = titles;
    this.#status = titles.map(() => "pending");
  }

  /** Undefined when the session has no to-do tool. */
  static choose(request: ModelRequest, titles: readonly string[]): TodoList | undefined {
    for (const tool of ["TodoWrite", "TaskCreate"] as const) {
      // What was loaded in an earlier turn counts as offered, and the flow is replayed: so a tool that this very prompt
      // loaded is told by its ToolSearch call.
      const loadedNow = request.answered[0]?.some(
        (use) => use.name === "ToolSearch" && names(use.input).includes(tool),
      );
      if (request.tools.has(tool) && !loadedNow) return new TodoList(tool, false, titles);
      if (loadedNow || (request.deferredTools.has(tool) && request.tools.has("ToolSearch"))) {
        return new TodoList(tool, true, titles);
      }
    }
    return undefined;
  }

  /** Loads the tool where it is deferred and writes the list down. */
  *open(say: (turn: ScriptTurn) => ScriptTurn): Flow<void> {
    if (this.#deferred) {
      const query = `select:${this.#tool === "TodoWrite" ? "TodoWrite" : "TaskCreate,TaskUpdate"}`;
      const loaded = yield say({ toolUse: { name: "ToolSearch", input: { query, max_results: 2 } } });
      if (loaded.some((use) => use.result?.isError)) return;
    }
    if (this.#tool === "TodoWrite") {
      yield say({ toolUse: this.#todoWrite() });
      return;
    }
    const created = yield say({
      toolUse: this.#titles.map((subject) => ({ name: "TaskCreate", input: { subject, description: subject } })),
    });
    this.#ids = created.map((use, index) => /#?(\d+)/.exec(use.result?.text ?? "")?.[1] ?? String(index + 1));
  }

  /** Step `index` begins; the ones before it are done. Steps that came later are not on the list. */
  start(index: number): void {
    if (index < this.#titles.length) this.#set(index, "in_progress");
  }

  /** All steps are done. */
  *close(): Flow<void> {
    this.#set(this.#titles.length, "completed");
    yield { toolUse: this.pendingCalls() };
  }

  /** The calls that bring the list up to date; made together with the next tool call. */
  pendingCalls(): ScriptToolUse[] {
    const calls = this.#calls;
    this.#calls = [];
    return calls;
  }

  #set(index: number, status: Status): void {
    for (const [i, old] of this.#status.entries()) {
      const now = i < index ? "completed" : i === index ? status : old;
      if (now === old) continue;
      this.#status[i] = now;
      const taskId = this.#ids[i];
      if (taskId !== undefined) this.#calls.push({ name: "TaskUpdate", input: { taskId, status: now } });
    }
    if (this.#tool === "TodoWrite") this.#calls = [this.#todoWrite()];
  }

  #todoWrite(): ScriptToolUse {
    const todos = this.#titles.map((content, i) => ({
      content,
      status: this.#status[i] ?? "pending",
      activeForm: content.replace(/^Run(?= )/, "Runn").replace(/^(\w+?)e?(?= )/, "$1ing"),
    }));
    return { name: "TodoWrite", input: { todos } };
  }
}

function names(input: Readonly<Record<string, unknown>>): string[] {
  return String(input.query ?? "")
    .replace("select:", "")
    .split(",");
}
