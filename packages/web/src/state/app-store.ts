import type { Session, Status } from "@holdfast/protocol";
import { type Api, createApi, wordsOf } from "./api.ts";
import { type Cell, cell } from "./observable.ts";
import { SessionStore } from "./session-store.ts";
import { applyTheme, storedTheme, type Theme } from "./theme.ts";

export interface SessionList {
  phase: "loading" | "ready" | "failed";
  problem: string | null;
  sessions: readonly Session[];
  nextPage: string | null;
}

export interface Problem {
  id: number;
  text: string;
}

const buildingPollMs = 15_000;
const listPollMs = 20_000;

/** What the whole page knows. Lives outside React: no layout change can lose it. */
export class AppStore implements Disposable {
  readonly api: Api;
  readonly auth: Cell<"unknown" | "in" | "out"> = cell<"unknown" | "in" | "out">("unknown");
  readonly status: Cell<Status | null> = cell<Status | null>(null);
  /** Why the status could not be read, in words. */
  readonly statusProblem: Cell<string | null> = cell<string | null>(null);
  readonly list: Cell<SessionList> = cell<SessionList>({
    phase: "loading",
    problem: null,
    sessions: [],
    nextPage: null,
  });
  /** Kept until the reader dismisses them. */
  readonly problems: Cell<readonly Problem[]> = cell<readonly Problem[]>([]);
  readonly session: Cell<SessionStore | null> = cell<SessionStore | null>(null);
  readonly theme: Cell<Theme> = cell<Theme>(storedTheme());
  readonly #listeners = new AbortController();
  readonly #timers: ReturnType<typeof setInterval>[] = [];
  #problemId = 0;

  constructor() {
    this.api = createApi(() => this.auth.set("out"));
    const refresh = () => {
      if (document.visibilityState === "visible" && this.auth.get() === "in") void this.refresh();
    };
    const on = { signal: this.#listeners.signal };
    addEventListener("focus", refresh, on);
    document.addEventListener("visibilitychange", refresh, on);
    this.#timers.push(
      setInterval(() => {
        const waiting = this.status.get()?.image.state === "building" || this.statusProblem.get() !== null;
        if (waiting && !document.hidden && this.auth.get() === "in") void this.refreshStatus();
      }, buildingPollMs),
      setInterval(() => {
        const running = this.list.get().sessions.some((session) => session.status !== "idle");
        if (running && !document.hidden && this.auth.get() === "in") void this.refreshList();
      }, listPollMs),
    );
    void this.refresh();
  }

  [Symbol.dispose](): void {
    this.#listeners.abort();
    for (const timer of this.#timers) clearInterval(timer);
    this.session.get()?.[Symbol.dispose]();
  }

  async refresh(): Promise<void> {
    await Promise.all([this.refreshStatus(), this.refreshList()]);
  }

  async refreshStatus(): Promise<void> {
    try {
      this.status.set(await this.api.status());
      this.statusProblem.set(null);
      this.auth.set("in");
    } catch (error) {
      this.statusProblem.set(wordsOf(error));
      if (this.auth.get() === "unknown") this.auth.set("in");
    }
  }

  async refreshList(): Promise<void> {
    const before = this.list.get();
    try {
      const { data, nextPage } = await this.api.sessions();
      const loaded = new Set(data.map((session) => session.id));
      const further = before.sessions.filter((session) => !loaded.has(session.id));
      const keepsMore = before.sessions.length > data.length && nextPage !== null;
      this.list.set({
        phase: "ready",
        problem: null,
        sessions: keepsMore ? [...data, ...further] : data,
        nextPage: keepsMore ? before.nextPage : nextPage,
      });
      this.session.get()?.relist();
    } catch (error) {
      this.list.set({ ...before, phase: before.sessions.length > 0 ? "ready" : "failed", problem: wordsOf(error) });
    }
  }

  async moreSessions(): Promise<void> {
    const { nextPage } = this.list.get();
    if (!nextPage) return;
    try {
      const page = await this.api.sessions(nextPage);
      const before = this.list.get();
      const loaded = new Set(before.sessions.map((session) => session.id));
      const added = page.data.filter((session) => !loaded.has(session.id));
      this.list.set({ ...before, sessions: [...before.sessions, ...added], nextPage: page.nextPage });
    } catch (error) {
      this.report(`More sessions could not be read. ${wordsOf(error)}`);
    }
  }

  /** Null when it could not be created; the reader has been told why. */
  async createSession(title: string): Promise<Session | null> {
    try {
      const session = await this.api.createSession(title);
      const before = this.list.get();
      this.list.set({ ...before, phase: "ready", sessions: [session, ...before.sessions] });
      return session;
    } catch (error) {
      this.report(`The session could not be created. ${wordsOf(error)}`);
      return null;
    }
  }

  /** Opens a session, closing the one that was open. */
  open(id: string | null): void {
    const current = this.session.get();
    if ((current?.id ?? null) === id) return;
    current?.[Symbol.dispose]();
    if (id === null) {
      this.session.set(null);
      return;
    }
    this.session.set(
      new SessionStore({
        api: this.api,
        id,
        listed: () => this.list.get().sessions.find((session) => session.id === id),
        onChanged: () => void this.#refreshOne(id),
        onProblem: (text) => this.report(text),
        storage: sessionStorage,
      }),
    );
  }

  /** After a login: everything is read anew, as the account may be another one. */
  async loggedIn(): Promise<void> {
    this.session.get()?.[Symbol.dispose]();
    this.session.set(null);
    this.list.set({ phase: "loading", problem: null, sessions: [], nextPage: null });
    this.auth.set("in");
    await this.refresh();
  }

  report(text: string): void {
    if (this.problems.get().some((problem) => problem.text === text)) return;
    this.problems.set([...this.problems.get(), { id: ++this.#problemId, text }]);
  }

  dismiss(id: number): void {
    this.problems.set(this.problems.get().filter((problem) => problem.id !== id));
  }

  setTheme(theme: Theme): void {
    this.theme.set(theme);
    applyTheme(theme);
  }

  async #refreshOne(id: string): Promise<void> {
    try {
      const session = await this.api.session(id);
      const before = this.list.get();
      const at = before.sessions.findIndex((entry) => entry.id === id);
      const sessions = at < 0 ? [session, ...before.sessions] : before.sessions.with(at, session);
      this.list.set({ ...before, sessions });
    } catch {
      // Only title, state and cost in the list grow old by this; the next refresh brings them.
    }
  }
}
