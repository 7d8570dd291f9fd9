/** S3 as the turn needs it. */
export interface ObjectStore {
  readonly bucket: string;
  /** As a sandbox sees it; undefined for AWS itself. */
  readonly sandboxEndpoint: string | undefined;
  /** For a process that may read and write below the prefix, for the given time at most. */
  credentialsFor(prefix: string, options: { lifetimeMs: number; signal: AbortSignal }): Promise<PrefixCredentials>;
  /** Objects below a prefix; stops counting at `limit`. */
  measure(prefix: string, options: { limit?: number; signal: AbortSignal }): Promise<{ files: number; bytes: number }>;
  /** Every object below a prefix, in the order of its keys. */
  objectsBelow(prefix: string, options: { signal: AbortSignal }): AsyncIterable<readonly StoredObject[]>;
  /** Writes an object that must not exist yet, or holds the same bytes already. */
  create(key: string, body: Uint8Array, options: { contentType: string; signal: AbortSignal }): Promise<void>;
}

export interface PrefixCredentials {
  /** Environment of the process. */
  env: Record<string, string>;
  /** Ends them now. False where the storage cannot: then they last until their time is over. */
  end(signal: AbortSignal): Promise<boolean>;
}

export interface StoredObject {
  key: string;
  sizeBytes: number;
  /** Without quotes. */
  etag: string;
}

export type StorageState = { on: true; store: ObjectStore } | { on: false; reason: string };

/** Whether there is storage, which may change while the server runs. */
export interface Storage {
  readonly state: StorageState;
  /** Tries again where the storage could not be reached before. Never rejects. */
  open(signal: AbortSignal): Promise<StorageState>;
}
