import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { sleep } from "@holdfast/std";
import type { Logger } from "pino";
import { refuse } from "../../errors.ts";
import { isId, newId, shown } from "../../ids.ts";
import type { BuiltImage } from "../../images/builder.ts";
import type { LayerStore } from "../../images/layer-store.ts";
import type { ImageSpec } from "../../proto/messages.ts";
import type { Row, Store } from "../../state/store.ts";
import { refuseNotDone } from "../options.ts";
import type { Secrets } from "../secret/secrets.ts";
import { type Audience, createAudience } from "./audience.ts";
import type { BuildLogs } from "./build-logs.ts";

export type ImageStatus = "building" | "built" | "failed" | "timed_out" | "deleted";

export interface ImageRecord {
  id: string;
  status: ImageStatus;
  /** Set when built. */
  built: BuiltImage | undefined;
  /** Set when it failed. */
  error: string | undefined;
}

/** What the database keeps of a request; secrets by id only. */
export interface StoredRequest {
  commands: string[];
  baseIds: Record<string, string>;
  buildArgs: Record<string, string>;
  secretIds: string[];
  forceNonce?: string;
}

/** Runs one build to its end; throws what the client shall see. */
export type RunBuild = (
  imageId: string,
  request: StoredRequest,
  told: { onLine: (line: string) => void; signal: AbortSignal },
) => Promise<BuildOutcome>;

export type BuildOutcome =
  | { built: BuiltImage }
  | { status: "failed" | "timed_out"; error: string }
  /** The engine stops, or nobody waits any more: whoever asks next starts it anew. */
  | { status: "interrupted" };

/** How long the reason of a failed build can be asked for. */
const deadImageLifeS = 86_400;

export interface ImagesContext {
  store: Store;
  layers: LayerStore;
  secrets: Secrets;
  logs: BuildLogs;
  run: RunBuild;
  /** How long a build goes on that nobody waits for. */
  abandonedMs: number;
  log: Logger;
}

/** Images: recipes and what came of them. The same recipe is the same image; concurrent requests share one build. */
export class Images {
  readonly #context: ImagesContext;
  readonly #running = new Map<string, Running>();

  constructor(context: ImagesContext) {
    this.#context = context;
  }

  getOrCreate(spec: ImageSpec, forceBuild: boolean): ImageRecord {
    const { store, secrets } = this.#context;
    const request = toRequest(spec);
    for (const baseId of Object.values(request.baseIds)) this.byId(baseId);
    const recipe = recipeOf(request, secrets.fingerprint(request.secretIds));
    const known = forceBuild ? undefined : this.#newest(recipe);
    if (known && (known.status === "built" || this.#running.has(known.id))) return known;
    const id = known?.id ?? newId("im");
    if (forceBuild) request.forceNonce = id;
    store.run(
      `INSERT INTO images (id, recipe, status, request, created_at) VALUES (?, ?, 'building', ?, ?)
       ON CONFLICT (id) DO UPDATE SET request = excluded.request`,
      id,
      recipe,
      Buffer.from(JSON.stringify(request)),
      Date.now() / 1000,
    );
    this.#start(id, request);
    return this.byId(id);
  }

  /** Throws NOT_FOUND. */
  byId(id: string): ImageRecord {
    const record = this.#find(id);
    if (!record || record.status === "deleted") throw refuse.imageIdNotFound(shown(id));
    return record;
  }

  /** The image, if sandboxes can be made of it; throws FAILED_PRECONDITION otherwise. */
  usable(id: string): BuiltImage {
    const record = this.byId(id);
    if (!record.built) throw refuse.imageNotBuilt(id, record.status);
    return record.built;
  }

  /** What a running sandbox was made of, even if the image was deleted since. */
  built(id: string): BuiltImage {
    const record = this.#find(id);
    if (!record?.built) throw refuse.imageNotBuilt(shown(id), record?.status ?? "unknown");
    return record.built;
  }

  /** Waits until the build has ended, `timeoutMs` have passed or the signal aborts; starts it anew when a restart cut it. */
  async join(id: string, { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal }): Promise<ImageRecord> {
    const record = this.byId(id);
    if (record.status !== "building") return record;
    const endsAt = Date.now() + timeoutMs;
    for (;;) {
      if (!this.#running.has(id)) this.#startAnew(id);
      const found = this.#running.get(id);
      const stopping = found?.audience.signal.aborted === true;
      {
        using _waiter = found?.audience.join();
        await waitOrTimeout(found?.work, Math.max(endsAt - Date.now(), 0), signal);
      }
      const now = this.byId(id);
      // One that was being stopped when we came is made anew for us.
      if (!stopping || now.status !== "building" || signal.aborted || Date.now() >= endsAt) return now;
    }
  }

  delete(id: string): void {
    const record = this.#find(id);
    if (!record || record.status === "deleted") throw refuse.imageNotFound(shown(id));
    this.#context.store.run("UPDATE images SET status = 'deleted' WHERE id = ?", id);
  }

  /** Forgets images that are of no use to anybody any more: failed, deleted or made anew, and with no sandbox. */
  collect(): void {
    const { store, logs } = this.#context;
    const rows = store.all(
      `SELECT id FROM images AS image WHERE created_at < ? AND status <> 'building'
         AND (status <> 'built' OR EXISTS (SELECT 1 FROM images AS newer WHERE newer.recipe = image.recipe
           AND newer.status = 'built' AND newer.created_at > image.created_at))
         AND NOT EXISTS (SELECT 1 FROM sandboxes WHERE spec ->> '$.imageId' = image.id)`,
      Date.now() / 1000 - deadImageLifeS,
    );
    for (const row of rows) {
      const id = String(row.id);
      store.run("DELETE FROM images WHERE id = ?", id);
      logs.remove(id);
    }
  }

  #find(id: string): ImageRecord | undefined {
    const { store, layers } = this.#context;
    const row = isId(id, "im") ? store.get("SELECT * FROM images WHERE id = ?", id) : undefined;
    return row && toRecord(row, layers);
  }

  #newest(recipe: string): ImageRecord | undefined {
    const { store, layers } = this.#context;
    const row = store.get(
      "SELECT * FROM images WHERE recipe = ? AND status IN ('building', 'built') ORDER BY created_at DESC, id DESC LIMIT 1",
      recipe,
    );
    if (!row) return undefined;
    const record = toRecord(row, layers);
    // A layer directory that somebody removed means that the image must be made again.
    return record.built?.layers.every((path) => existsSync(path)) === false ? undefined : record;
  }

  #startAnew(id: string): void {
    const row = this.#context.store.get("SELECT request FROM images WHERE id = ?", id);
    this.#start(id, JSON.parse(Buffer.from(row?.request as Uint8Array).toString("utf8")) as StoredRequest);
  }

  #start(id: string, request: StoredRequest): void {
    const { abandonedMs, log } = this.#context;
    const audience = createAudience(abandonedMs, () => {
      log.info({ imageId: id }, "a build that nobody waits for is stopped");
    });
    this.#running.set(id, { work: this.#build(id, request, audience), audience });
  }

  async #build(id: string, request: StoredRequest, audience: Audience): Promise<void> {
    const { run, logs, log } = this.#context;
    const onLine = (line: string) => {
      logs.append(id, line);
      log.info({ imageId: id }, `build ${line}`);
    };
    try {
      const outcome = await run(id, request, { onLine, signal: audience.signal });
      if ("built" in outcome) this.#finish(id, { status: "built", built: outcome.built });
      else if (outcome.status !== "interrupted") this.#finish(id, outcome);
    } catch (error) {
      log.error({ err: error, imageId: id }, "image build broke");
      this.#finish(id, { status: "failed", error: `the engine could not run the build: ${String(error)}` });
    } finally {
      audience.close();
      logs.end(id);
      this.#running.delete(id);
    }
  }

  #finish(id: string, { status, built, error }: { status: ImageStatus; built?: BuiltImage; error?: string }): void {
    const { store, layers } = this.#context;
    const stored = built && { ...built, layers: built.layers.map((path) => layers.nameOf(path)) };
    store.run(
      "UPDATE images SET status = ?, built = ?, error = ? WHERE id = ? AND status = 'building'",
      status,
      stored ? JSON.stringify(stored) : null,
      error ?? null,
      id,
    );
  }
}

interface Running {
  work: Promise<void>;
  audience: Audience;
}

/** Resolves when the work is done, the time is over or the signal aborts, whichever comes first. */
async function waitOrTimeout(work: Promise<void> | undefined, timeoutMs: number, signal: AbortSignal): Promise<void> {
  const stop = new AbortController();
  const timer = sleep(timeoutMs, AbortSignal.any([signal, stop.signal])).catch(() => {
    // Woken early: by the caller's leaving or by the end of the work.
  });
  await Promise.race([work, timer]);
  stop.abort();
}

function toRequest(spec: ImageSpec): StoredRequest {
  refuseNotDone("Image", spec);
  if (spec.imageRegistryConfig?.secretId) throw refuse.unsupported("A registry's credentials");
  return {
    commands: spec.dockerfileCommands,
    baseIds: Object.fromEntries(spec.baseImages.map((base) => [base.dockerTag, base.imageId])),
    buildArgs: spec.buildArgs,
    secretIds: spec.secretIds,
  };
}

function recipeOf(request: StoredRequest, secretsFingerprint: string): string {
  const { commands, baseIds, buildArgs } = request;
  return createHash("sha256")
    .update(JSON.stringify([commands, baseIds, buildArgs, secretsFingerprint]))
    .digest("hex");
}

function toRecord(row: Row, layers: LayerStore): ImageRecord {
  const stored = row.built == null ? undefined : (JSON.parse(String(row.built)) as BuiltImage);
  return {
    id: String(row.id),
    status: row.status as ImageStatus,
    built: stored && { ...stored, layers: stored.layers.map((name) => layers.pathOf(name)) },
    error: row.error == null ? undefined : String(row.error),
  };
}
