import type { ModalClient } from "modal";
import type { Logger } from "pino";
import { ModalProvider, noProvider } from "./adapters/modal/provider.ts";
import type { LeaseParts } from "./compose-leases.ts";
import { composeSweep, type SweepParts } from "./compose-sweep.ts";
import type { ServerOptions } from "./config/options.ts";
import type { S3Config } from "./config/s3-config.ts";
import { Environments } from "./domain/environments/environments.ts";
import { EnvironmentImages, type Layers } from "./domain/environments/images.ts";
import { Machines } from "./domain/machines/machines.ts";
import { bundledGuest } from "./domain/sandboxes/bundled-guest.ts";
import { SandboxDirectory } from "./domain/sandboxes/directory.ts";
import { SandboxImage } from "./domain/sandboxes/image.ts";
import { claudeCodeTemplate } from "./domain/sandboxes/image-template.ts";
import type { LiveSandbox } from "./domain/sandboxes/live-sandbox.ts";
import { Revocations } from "./domain/sandboxes/revocations.ts";
import { SandboxCalls } from "./domain/sandboxes/sandbox-calls.ts";
import { Sandboxes } from "./domain/sandboxes/sandboxes.ts";
import { Erasures } from "./domain/sessions/erasures.ts";
import { accountPrefix } from "./domain/storage/account-prefix.ts";
import { Syncs } from "./domain/storage/syncs.ts";
import { Terminals } from "./domain/terminals/terminals.ts";
import { Turns } from "./domain/turns/turns.ts";
import { Wakeups } from "./domain/wakeups/wakeups.ts";
import { fromRow } from "./domain/workspaces/workspace-rows.ts";
import { Workspaces } from "./domain/workspaces/workspaces.ts";
import { type Clock, systemClock } from "./ports/clock.ts";
import type { Database } from "./ports/database.ts";
import type { EventLog } from "./ports/event-log.ts";
import type { ModelGateway } from "./ports/model-gateway.ts";
import type { Storage } from "./ports/object-store.ts";
import type { SandboxProvider } from "./ports/sandbox-provider.ts";

export interface WorkInput {
  options: ServerOptions;
  logger: Logger;
  stack: AsyncDisposableStack;
  db: Database;
  log: EventLog;
  leases: LeaseParts;
  gateway: ModelGateway;
  s3: S3Config | undefined;
  storage: Storage;
  closing: AbortController;
  /** Absent: Modal, or what speaks like it. */
  provider: SandboxProvider | undefined;
  wrapModalClient: ((client: ModalClient) => ModalClient) | undefined;
  guestBundle: string | undefined;
  /** Says when wake-ups are due. */
  wakeupClock: Clock;
  /** Goes on with the deletion of accounts. */
  removeAccounts: (signal: AbortSignal) => Promise<void>;
}

/** What all parts are given. */
function shared({ options, db, log, leases: { leases, dispatcher } }: WorkInput) {
  return { db, log, clock: systemClock, leases, dispatcher, installationId: installationOf(options) };
}

/** Everything that works on turns. Disposed in the opposite order: turns, syncs, then the hold on sandboxes. */
export function composeWork(input: WorkInput) {
  const { stack, closing, leases, db } = input;
  const provider = input.provider ?? modalProvider(input);
  const { image, images, environments } = composeImages(input, provider);
  stack.defer(() => closing.abort(new Error("the server stops")));
  const isBusy = (live: LiveSandbox, signal: AbortSignal) => terminals.isBusy(live, signal);
  const { sandboxes, revocations, erasures } = composeSandboxes(input, provider, isBusy);
  const generation = (sessionId: string) => turns.generation(sessionId);
  const { syncs, calls, workspaces } = composeWorkspaces(input, { provider, sandboxes, generation });
  const turns: Turns = composeTurns(input, { environments, sandboxes, syncs });
  const terminals: Terminals = composeTerminals(input, { environments, sandboxes }, calls);
  const wakeups = composeWakeups(input, turns);
  // Disposed of before the turns: nothing more is taken over then.
  stack.use(leases.leases);
  const parts = { provider, sandboxes, revocations, syncs, turns, workspaces, erasures };
  const { sweep, strays, ender } = sweepOf(input, parts);
  return {
    turns,
    erasures,
    image,
    environments,
    provider,
    workspaces,
    terminals,
    directory: new SandboxDirectory({ db, calls, strays, ender }),
    /** What the deletion of an account needs of all this. */
    removal: { ender, revocations, saved: (workspaceId: string) => calls.saved(workspaceId) },
    sweep,
    held: () => ({ sessions: turns.size, workspaces: leases.leases.known, images: images.size }),
    start: () => {
      // Its failure is the status's and the next turn's to tell.
      image.get().catch(() => undefined);
      startTaking(leases, { ...parts, wakeups });
      if (provider !== noProvider) sweep.start(input.options.sweepEveryMs);
    },
    end: async () => {
      await turns.endAll();
      await syncs.settled();
      await sandboxes.stopAll();
    },
  };
}

function composeImages({ options, logger, closing, guestBundle, db }: WorkInput, provider: SandboxProvider) {
  const make = (more: Layers) =>
    new SandboxImage({
      provider,
      template: async () => {
        const { base, layers } = claudeCodeTemplate({
          ...options.image,
          guestBundle: guestBundle ?? (await bundledGuest()),
        });
        return { base, layers: [...layers, ...more] };
      },
      logger: logger.child({ part: "image" }),
      signal: closing.signal,
    });
  const image = make([]);
  const images = new EnvironmentImages({ base: image, make });
  return { image, images, environments: new Environments({ db, clock: systemClock, images }) };
}

function composeSandboxes(
  input: WorkInput,
  provider: SandboxProvider,
  isBusy: (live: LiveSandbox, signal: AbortSignal) => Promise<boolean>,
) {
  const { options, logger, stack, db, gateway } = input;
  const revocations = new Revocations({
    db,
    clock: systemClock,
    logger: logger.child({ part: "revocations" }),
    revoke: (id, signal) => gateway.revokeSandbox(id, signal),
  });
  const sandboxes = stack.use(
    new Sandboxes({
      ...shared(input),
      provider,
      spec: ({ accountId }) => sandboxSpec(input, accountId),
      logger: logger.child({ part: "sandboxes" }),
      idleMs: options.sandbox.idleSandboxMs,
      isBusy,
      onEnded: (id) => revocations.schedule(id),
      onStarted: (live) => erasures.eraseIn(live),
    }),
  );
  const erasures = new Erasures({
    db,
    logger,
    current: (id) => sandboxes.current(id),
    running: () => sandboxes.running(),
  });
  return { sandboxes, revocations, erasures };
}

interface WorkspaceParts {
  provider: SandboxProvider;
  sandboxes: Sandboxes;
  generation: (sessionId: string) => Promise<number>;
}

function composeWorkspaces(input: WorkInput, { provider, sandboxes, generation }: WorkspaceParts) {
  const { logger, stack, db, storage } = input;
  const syncs: Syncs = stack.use(
    new Syncs({
      ...shared(input),
      logger: logger.child({ part: "syncs" }),
      storage,
      generation,
      sandbox: (workspaceId, signal) => sandboxOf({ db, sandboxes }, workspaceId, signal),
    }),
  );
  const calls = new SandboxCalls({
    ...shared(input),
    sandboxes,
    provider,
    logger: logger.child({ part: "sandboxes" }),
    settled: (workspaceId) => syncs.settledOf(workspaceId),
  });
  const workspaces = new Workspaces({
    ...shared(input),
    logger: logger.child({ part: "workspaces" }),
    sandboxes: calls,
    saved: (workspaceId) => calls.saved(workspaceId),
    deleteVolume: (name, signal) => provider.deleteVolume(name, signal),
  });
  return { syncs, calls, workspaces };
}

interface TurnParts {
  environments: Environments;
  sandboxes: Sandboxes;
  syncs: Syncs;
}

function composeTurns(input: WorkInput, { environments, sandboxes, syncs }: TurnParts): Turns {
  const { options, logger, stack, gateway } = input;
  return stack.use(
    new Turns({
      ...shared(input),
      logger: logger.child({ part: "turns" }),
      gateway,
      environments,
      sandboxes,
      options: options.sandbox,
      isSaving: (workspaceId) => syncs.isSaving(workspaceId),
      onTurnEnd: (turn) => syncs.schedule(turn),
    }),
  );
}

function composeTerminals(
  input: WorkInput,
  { environments, sandboxes }: Omit<TurnParts, "syncs">,
  calls: SandboxCalls,
): Terminals {
  const { db, logger, closing, leases } = input;
  const machines = new Machines({
    db,
    logger: logger.child({ part: "machines" }),
    environments,
    sandboxes,
    dispatcher: leases.dispatcher,
    calls,
    closing: closing.signal,
  });
  return new Terminals({ db, machines });
}

function composeWakeups({ logger, db, log, wakeupClock }: WorkInput, turns: Turns): Wakeups {
  return new Wakeups({
    db,
    log,
    clock: wakeupClock,
    logger: logger.child({ part: "wakeups" }),
    wake: (sessionId) => turns.wake(sessionId),
  });
}

type Swept = Pick<SweepParts, "provider" | "sandboxes" | "revocations" | "syncs" | "turns" | "workspaces" | "erasures">;

function sweepOf(input: WorkInput, parts: Swept) {
  const { options, logger, stack, removeAccounts } = input;
  const made = composeSweep({
    ...shared(input),
    ...parts,
    removeAccounts,
    unknownKeptMs: options.unknownSandboxKeptMs,
    recordsKeptMs: options.recordsKeptMs,
    logger: logger.child({ part: "sweep" }),
  });
  stack.use(made.sweep);
  return made;
}

/** Takes up what is this server's to work on, and lets go of what is not. */
function startTaking(
  { leases }: LeaseParts,
  { turns, sandboxes, syncs, wakeups }: Omit<TurnParts, "environments"> & { turns: Turns; wakeups: Wakeups },
): void {
  leases.start({
    dropAll: async (reason) => {
      await Promise.all([turns.letGo(), sandboxes.letGo(reason), syncs.letGo(reason)]);
    },
    taken: async (workspaceIds) => {
      // First: whatever is being saved later is this server's own.
      const saving = await syncs.openIn(workspaceIds);
      await turns.taken(workspaceIds);
      syncs.takeOver(saving);
    },
    look: async () => {
      await turns.look();
      await wakeups.look();
    },
  });
}

async function sandboxOf(
  { db, sandboxes }: { db: Database; sandboxes: Sandboxes },
  workspaceId: string,
  signal: AbortSignal,
) {
  const row = await db.selectFrom("workspaces").selectAll().where("id", "=", workspaceId).executeTakeFirst();
  return row && (await sandboxes.adopt(fromRow(row), signal));
}

function modalProvider({ options, logger, wrapModalClient }: WorkInput): SandboxProvider {
  if (options.modal === undefined) return noProvider;
  return new ModalProvider({
    ...options.modal,
    logger: sdkLogger(logger.child({ part: "modal" })),
    ...(wrapModalClient === undefined ? {} : { wrapClient: wrapModalClient }),
  });
}

/** The SDK warns of plain text on loopback for every handle; that is what is wanted here. */
function sdkLogger(logger: Logger) {
  const at = (level: "debug" | "info" | "warn" | "error") => (message: string) => {
    if (!message.includes("insecure")) logger[level](message);
  };
  return { debug: () => undefined, info: at("debug"), warn: at("warn"), error: at("error") };
}

/** Storage that is configured is told to every sandbox, whether it can be reached now or not. */
function sandboxSpec({ options, gateway, s3 }: WorkInput, accountId: string) {
  const { sandbox } = options;
  const { timeoutMs, memoryMiB, memoryLimitMiB, cpu, cpuLimit } = sandbox;
  const domains = [gateway.sandboxDomain, ...(s3 === undefined ? [] : [s3.sandboxDomain])];
  const told = s3 && JSON.stringify({ bucket: s3.bucket, keyPrefix: accountPrefix(accountId) });
  const env: Record<string, string> = told === undefined ? {} : { HOLDFAST_S3: told };
  return { timeoutMs, memoryMiB, memoryLimitMiB, cpu, cpuLimit, env, domains };
}

export function installationOf(options: ServerOptions): string {
  return options.modal?.installationId ?? "local";
}
