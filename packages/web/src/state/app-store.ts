import type { Session, SessionEvent, Status } from "@holdfast/protocol";
import { type Api, createApi, wordsOf } from "./api.ts";
import { background } from "./background.ts";
import { type LiveSession, liveFrom, looksDifferent, reduceLive } from "./live-list.ts";
import { type Cell, cell } from "./observable.ts";
import { SessionStore } from "./session-store.ts";
import { PageStream } from "./stream/page-stream.ts";
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
/** For sessions that other devices begin; what is listed is followed. */
const listPollMs = 10_000;

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
  /** What the listed sessions do now. */
  readonly live: Cell<ReadonlyMap<string, LiveSession>> = cell<ReadonlyMap<string, LiveSession>>(new Map());
  /** Kept until the reader dismisses them. */
  readonly problems: Cell<readonly Problem[]> = cell<readonly Problem[]>([]);
  readonly session: Cell<SessionStore | null> = cell<SessionStore | null>(null);
  readonly theme: Cell<Theme> = cell<Theme>(storedTheme());
  readonly #listeners = new AbortController();
  readonly #timers: ReturnType<typeof setInterval>[] = [];
  readonly #stream: PageStream;
  readonly #followed = new Map<string, Disposable>();
  /** With every event; the cell changes only with what is shown. */
  readonly #live = new Map<string, LiveSession>();
  #problemId = 0;

  constructor() {
    this.api = createApi(() => this.auth.set("out"));
    this.#stream = new PageStream({
      onRefused: () => this.#whyRefused(),
      onTrouble: (text) => this.report(text),
    });
    this.list.subscribe(() => this.#followListed());
    const refresh = () => {
      if (document.visibilityState === "visible" && this.auth.get() === "in") background(this.refresh());
    };
    const on = { signal: this.#listeners.signal };
    addEventListener("focus", refresh, on);
    document.addEventListener("visibilitychange", refresh, on);
    this.#timers.push(
      setInterval(() => {
        const waiting = this.status.get()?.image.state === "building" || this.statusProblem.get() !== null;
        if (waiting && !document.hidden && this.auth.get() === "in") background(this.refreshStatus());
      }, buildingPollMs),
      setInterval(() => {
        if (!document.hidden && this.auth.get() === "in") background(this.refreshList());
      }, listPollMs),
    );
    background(this.refresh());
  }

  [Symbol.dispose](): void {
    this.#listeners.abort();
    for (const timer of this.#timers) clearInterval(timer);
    this.session.get()?.[Symbol.dispose]();
    this.#stream[Symbol.dispose]();
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

  async setPermissionMode(id: string, mode: string): Promise<void> {
    try {
      await this.api.changeSettings(id, { permission_mode: mode });
    } catch (error) {
      this.report(`The mode could not be changed. ${wordsOf(error)}`);
    }
  }

  /** Opens a session, closing the one that was open. */
  open(id: string | null): void {
    const current = this.session.get();
    if ((current?.id ?? null) === id) return;
    current?.[Symbol.dispose]();
    if (id === null) {
      this.session.set(null);
      this.#followListed();
      return;
    }
    this.session.set(
      new SessionStore({
        api: this.api,
        stream: this.#stream,
        id,
        onEvent: (event) => this.#onEvent(id, event),
        listed: () => this.list.get().sessions.find((session) => session.id === id),
        onChanged: () => background(this.#refreshOne(id)),
        onProblem: (text) => this.report(text),
        storage: sessionStorage,
      }),
    );
    this.#followListed();
  }

  /** After a login: everything is read anew, as the account may be another one. */
  async loggedIn(): Promise<void> {
    this.session.get()?.[Symbol.dispose]();
    this.session.set(null);
    this.list.set({ phase: "loading", problem: null, sessions: [], nextPage: null });
    this.#live.clear();
    this.auth.set("in");
    await this.refresh();
  }

  /** Ends this browser's login, in all of its pages. */
  async logOut(): Promise<void> {
    try {
      await this.api.logout();
    } catch (error) {
      this.report(`You are still logged in. ${wordsOf(error)}`);
      return;
    }
    this.session.get()?.[Symbol.dispose]();
    this.session.set(null);
    this.list.set({ phase: "loading", problem: null, sessions: [], nextPage: null });
    this.#live.clear();
    this.status.set(null);
    this.auth.set("out");
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

  /** All that are listed, except the open one: that is followed by its own store, with its drafts. */
  #followListed(): void {
    const openId = this.session.get()?.id;
    const { sessions } = this.list.get();
    const listed = new Set(sessions.map((session) => session.id));
    for (const session of sessions) {
      const known = this.#live.get(session.id);
      if (!known || known.lastSeq < session.holdfast.last_seq) this.#live.set(session.id, liveFrom(session));
      if (session.id !== openId && !this.#followed.has(session.id))
        this.#followed.set(session.id, this.#follow(session.id));
    }
    for (const [id, following] of this.#followed) {
      if (listed.has(id) && id !== openId) continue;
      following[Symbol.dispose]();
      this.#followed.delete(id);
    }
    for (const id of this.#live.keys()) if (!listed.has(id)) this.#live.delete(id);
    this.live.set(new Map(this.#live));
  }

  #follow(id: string): Disposable {
    return this.#stream.follow({
      id,
      cursor: () => this.#live.get(id)?.lastSeq ?? 0,
      drafts: false,
      onInput: (input) => {
        if (input.type === "event") this.#onEvent(id, input.event);
      },
      onGap: () => {
        this.#live.delete(id);
        background(this.#refreshOne(id));
      },
      onGone: () => this.#forget(id),
    });
  }

  #onEvent(id: string, event: SessionEvent): void {
    const before = this.#live.get(id);
    if (!before) return;
    const after = reduceLive(before, event);
    this.#live.set(id, after);
    if (!looksDifferent(before, after)) return;
    this.live.set(new Map(this.#live));
    if (after.state === "deleted") this.#forget(id);
    // Cost and time of the last change come from there.
    else if (before.state !== after.state && id !== this.session.get()?.id) background(this.#refreshOne(id));
  }

  #forget(id: string): void {
    const before = this.list.get();
    this.list.set({ ...before, sessions: before.sessions.filter((session) => session.id !== id) });
  }

  #whyRefused(): void {
    const session = this.session.get();
    if (session) background(session.whyRefused());
    else background(this.refresh());
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
