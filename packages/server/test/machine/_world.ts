import type { Logger } from "pino";
import { LocalBus } from "../../src/adapters/bus/local-bus.ts";
import { DbEventLog } from "../../src/adapters/db/event-log.ts";
import { SandboxOptions } from "../../src/config/options.ts";
import { Dispatcher } from "../../src/domain/leases/dispatcher.ts";
import { Leases } from "../../src/domain/leases/leases.ts";
import { Membership } from "../../src/domain/leases/membership.ts";
import { Messages } from "../../src/domain/messages/messages.ts";
import { Sandboxes } from "../../src/domain/sandboxes/sandboxes.ts";
import { Sessions } from "../../src/domain/sessions/sessions.ts";
import { Turns } from "../../src/domain/turns/turns.ts";
import { Wakeups } from "../../src/domain/wakeups/wakeups.ts";
import { systemClock } from "../../src/ports/clock.ts";
import type { ServerBus } from "../../src/ports/server-bus.ts";
import { emptyNotes } from "./_claude-notes.ts";
import { Delays } from "./_pipes.ts";
import { Random } from "./_random.ts";
import { MemoryProvider, MemorySandboxes } from "./_sandboxes.ts";
import type { Store } from "./_store.ts";
import { type Life, lives, Time } from "./_time.ts";

export const accountId = "acc_test";
const installationId = "mine";
const timings = { beatMs: 30_000, deadMs: 600_000, lookMs: 5_000 };
const options = SandboxOptions.parse({
  idleProcessMs: 20_000,
  idleSandboxMs: 60_000,
  stallNoticeMs: 60_000,
  startLimitMs: 90_000,
  permissionMode: "default",
});

/** A server in memory: the real parts, composed as `composeWork` does. */
export interface Server {
  life: Life;
  turns: Turns;
  sessions: Sessions;
  messages: Messages;
}

/** Everything that a run is made of; what outlives a server is in here. */
export class World {
  readonly random: Random;
  readonly time: Time;
  readonly store: Store;
  readonly notes = emptyNotes({ say: (what) => this.say(what), now: () => this.time.now });
  readonly delays: Delays;
  readonly sandboxes: MemorySandboxes;
  /** What was logged, for whoever looks into a failure. */
  readonly trace: string[];
  /** Whose output may be lost: their sandbox ended, or the guest forgot them. */
  readonly lostProcesses = new Set<string>();
  /** A server was replaced while it lived: a sandbox that it was making then is the sweep's to end, which is not here. */
  wasReplaced = false;
  server: Server | undefined;
  /** Of the newest server. */
  startedAt = 0;
  readonly #all: Life[] = [];
  /** The data directory's note: every server that there was. */
  readonly #noted = new Set<string>();
  /** Of all that live. */
  readonly #bus: LocalBus;

  constructor(store: Store, { seed, delayMs, trace }: { seed: number; delayMs: number; trace: string[] }) {
    this.trace = trace;
    this.store = store;
    this.random = new Random(seed);
    this.time = new Time(this.random);
    this.delays = new Delays(this.time, this.random);
    this.delays.mostMs = delayMs;
    this.sandboxes = new MemorySandboxes({ notes: this.notes, random: this.random, delays: this.delays });
    this.#bus = new LocalBus({ logger: this.#logger({ number: 0, alive: true }) });
    store.clear();
    store.onDeath = (life) => this.#end(life);
    store.raw.prepare("insert into accounts (id, name, created_at) values (?, ?, 0)").run(accountId, "tester");
  }

  /** Builds a server on what there is. The one before is dead, whatever it was at; or it lives for `lingersMs`. */
  async start(lingersMs = 0): Promise<Server> {
    this.store.trap = undefined;
    const before = this.server?.life;
    this.wasReplaced ||= lingersMs > 0;
    if (before !== undefined && lingersMs > 0) this.time.later(lingersMs, () => this.#end(before));
    else this.die();
    const life: Life = { number: this.#all.length + 1, alive: true };
    this.#all.push(life);
    this.startedAt = this.time.now;
    this.say(`server ${life.number} starts`);
    const server = await lives.run(life, () => this.#compose(life));
    this.server = server;
    return server;
  }

  /** As SIGKILL does it: nothing is ended, nothing is said. */
  die(): void {
    const { server } = this;
    if (server !== undefined) this.#end(server.life);
  }

  /** Nothing of the run goes on. */
  endAll(): void {
    for (const life of this.#all) this.#end(life);
  }

  /** Work of the server of now: what it begins ends with it. Undefined while there is none. */
  within<T>(work: (server: Server) => Promise<T>): Promise<T> | undefined {
    const { server } = this;
    if (server?.life.alive !== true) return undefined;
    return lives.run(server.life, () => work(server));
  }

  say(what: string): void {
    this.trace.push(`${Math.round(this.time.now)} ${what}`);
  }

  #end(life: Life): void {
    if (!life.alive) return;
    this.say(`server ${life.number} dies`);
    life.alive = false;
    this.store.drop(life);
    // Its connections go with it.
    for (const { guest } of this.sandboxes.all) guest.cut(life);
    if (this.server?.life === life) this.server = undefined;
  }

  async #compose(life: Life): Promise<Server> {
    const { store, sandboxes: all } = this;
    const logger = this.#logger(life);
    const db = store.connect(life);
    const clock = systemClock;
    const bus = this.#busOf(life);
    const log = new DbEventLog(db, { clock, bus });
    const note = {
      read: () => [...this.#noted],
      write: (ids: readonly string[]) => {
        for (const id of ids) this.#noted.add(id);
      },
    };
    const membership = await Membership.join({ db, clock, logger, host: "here", note, timings });
    const leases = new Leases({ db, logger, membership, timings });
    const dispatcher = new Dispatcher({ bus, leases, logger });
    const sandboxes = new Sandboxes({
      ...{ db, clock, leases, installationId, logger, provider: new MemoryProvider(all, life) },
      spec: () => ({
        env: {},
        timeoutMs: 86_400_000,
        memoryMiB: 1,
        memoryLimitMiB: 1,
        cpu: 1,
        cpuLimit: 1,
        domains: [],
      }),
      idleMs: options.idleSandboxMs,
      onEnded: () => undefined,
    });
    const image = { progress: { state: "ready" }, get: async () => "im-1" };
    const turns = new Turns({
      ...{ db, log, clock, leases, dispatcher, logger, sandboxes, options, gateway },
      environments: { image: async () => ({ image, key: "" }) as never },
      isSaving: () => false,
      onTurnEnd: () => undefined,
    });
    const wakeups = new Wakeups({ db, log, clock, logger, wake: (id) => turns.wake(id) });
    const { permissionMode } = options;
    const erasures = { erase: async () => undefined };
    const parts = { db, log, clock, installationId, turns, erasures, permissionMode };
    leases.start({
      dropAll: async (reason) => {
        await Promise.all([turns.letGo(), sandboxes.letGo(reason)]);
      },
      taken: (ids) => turns.taken(ids),
      look: async () => {
        await turns.look();
        await wakeups.look();
      },
    });
    return { life, turns, sessions: new Sessions(parts), messages: new Messages(parts) };
  }

  /** The dead hear nothing, and say nothing. */
  #busOf(life: Life): ServerBus {
    const bus = this.#bus;
    return {
      publish: async (topic, payload) => {
        if (life.alive) await bus.publish(topic, payload);
      },
      subscribe: (topic, handler) =>
        bus.subscribe(topic, (payload) => {
          if (life.alive) lives.run(life, () => handler(payload));
        }),
      onGap: (handler) => bus.onGap(handler),
    };
  }

  #logger({ number }: Life): Logger {
    const at = (level: string) => (facts: unknown, words?: string) => {
      const error = (facts as { err?: { message?: string } }).err?.message ?? "";
      this.say(`  server ${number} ${level}: ${words ?? ""} ${error}`);
    };
    const logger = { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error"), child: () => logger };
    return logger as unknown as Logger;
  }
}

const gateway = {
  status: async () => ({ mode: "anthropic" as const, credential: { source: "none" as const, last4: null } }),
  mintToken: async () => "token",
  isAnswering: async () => true,
  sandboxUrl: "http://gateway",
  sandboxDomain: "gateway",
  setCredential: async () => undefined,
  removeCredential: async () => undefined,
  revokeSandbox: async () => undefined,
};
