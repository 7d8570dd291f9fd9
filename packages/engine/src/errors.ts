import { Status } from "nice-grpc";

/**
 * An error with the exact gRPC status and text that a client of Modal expects: the SDK branches on the code and its
 * users match on the text. Codes that the SDK repeats (INTERNAL, UNKNOWN, UNAVAILABLE, CANCELLED, DEADLINE_EXCEEDED)
 * are only for faults that may pass by themselves.
 */
export class EngineError extends Error {
  override name = "EngineError";
  readonly status: Status;
  constructor(status: Status, details: string, options?: { cause?: unknown }) {
    super(details, options);
    this.status = status;
  }
}

/** Bytes. */
interface MemorySums {
  wanted: number;
  reserved: number;
  most: number;
}

const mib = (bytes: number) => `${Math.floor(bytes / 2 ** 20)} MiB`;

function make(status: Status): (details: string) => EngineError {
  return (details) => new EngineError(status, details);
}

const invalid = make(Status.INVALID_ARGUMENT);
const notFound = make(Status.NOT_FOUND);
const precondition = make(Status.FAILED_PRECONDITION);
const unimplemented = make(Status.UNIMPLEMENTED);
const unauthenticated = make(Status.UNAUTHENTICATED);

/** Every refusal of the engine, by what happened. */
export const refuse = {
  invalid,
  precondition,
  wrongToken: () =>
    unauthenticated(
      "Token ID or secret is wrong for this engine. Set MODAL_TOKEN_ID and MODAL_TOKEN_SECRET to the tokenId and tokenSecret that the engine was started with.",
    ),
  wrongRouterToken: () =>
    unauthenticated(
      "The bearer token of this call is missing, expired or not for this task. Ask SandboxGetCommandRouterAccess for a new one.",
    ),
  appNotFound: (name: string) => notFound(`App '${name}' not found`),
  appIdNotFound: (id: string) => notFound(`App with ID ${id} not found`),
  environmentNotFound: (name: string) =>
    // Not NOT_FOUND: the SDK would say that the App, Volume or Secret is missing.
    precondition(
      `Environment '${name}' not found. This engine has one environment, 'main': unset MODAL_ENVIRONMENT, or leave the name empty.`,
    ),
  secretNotFound: (name: string) => notFound(`Secret '${name}' not found`),
  secretIdNotFound: (id: string) =>
    notFound(`Secret with ID ${id} not found. Ephemeral secrets end with the engine process that took them.`),
  secretExists: (name: string) => new EngineError(Status.ALREADY_EXISTS, `Secret '${name}' already exists`),
  secretMissingKeys: (keys: string[]) => precondition(`Secret is missing key(s): ${keys.join(", ")}`),
  volumeNotFound: (name: string) => notFound(`Volume '${name}' not found`),
  volumeIdNotFound: (id: string) => notFound(`Volume with ID ${id} not found`),
  volumeExists: (name: string) => new EngineError(Status.ALREADY_EXISTS, `Volume '${name}' already exists`),
  volumeBusy: (id: string, sandboxes: string[]) =>
    precondition(`Volume ${id} is mounted in ${sandboxes.join(", ")}; terminate these sandboxes first`),
  /** A code that the SDK repeats: it passes within milliseconds. */
  volumeBeingMounted: (id: string) => new EngineError(Status.UNAVAILABLE, `Volume ${id} is just being mounted`),
  proxyNotFound: (name: string) => notFound(`Proxy '${name}' not found`),
  imageNotFound: (id: string) => notFound(`No Image with ID ${id}`),
  imageIdNotFound: (id: string) => notFound(`Could not find image with ID ${id}`),
  imageNotBuilt: (id: string, state: string) =>
    precondition(`Image ${id} is not usable: its build is ${state}. Build it to the end first.`),
  sandboxNotFound: (id: string) => notFound(`Sandbox with ID ${id} not found`),
  sandboxNameNotFound: (name: string) => notFound(`Sandbox with name '${name}' not found`),
  sandboxNameExists: (name: string) =>
    new EngineError(Status.ALREADY_EXISTS, `A sandbox with name '${name}' already exists in this App and is running`),
  sandboxFinished: (id: string) => notFound(`Sandbox ${id} has already finished`),
  taskNotFound: (id: string) => notFound(`Task with ID ${id} not found`),
  execNotFound: (id: string) => notFound(`Exec with ID ${id} not found`),
  accountFull: (used: number, limit: number) =>
    new EngineError(
      Status.RESOURCE_EXHAUSTED,
      `The volumes of this account take ${Math.ceil(used / 2 ** 20)} MiB of the ${Math.floor(limit / 2 ** 20)} MiB that an account may have; delete a workspace, or ask the operator for more (engine.disk.accountBytes)`,
    ),
  accountMemory: (sums: MemorySums) =>
    new EngineError(
      Status.RESOURCE_EXHAUSTED,
      `A sandbox that reserves ${mib(sums.wanted)} does not fit: the sandboxes of this account reserve ${mib(sums.reserved)} of ${mib(sums.most)} that an account may have. What runs goes on. Stop one, or wait for one to end, then try again; the operator can change this (engine.memory)`,
    ),
  machineMemory: (sums: MemorySums) =>
    new EngineError(
      Status.RESOURCE_EXHAUSTED,
      `A sandbox that reserves ${mib(sums.wanted)} does not fit: all sandboxes of this machine reserve ${mib(sums.reserved)} of ${mib(sums.most)}. What runs goes on. Stop one, or wait for one to end, then try again; the operator can change this (engine.memory)`,
    ),
  tooManyApps: (most: number) =>
    new EngineError(Status.RESOURCE_EXHAUSTED, `This engine keeps ${most} Apps and has them; use one that is there`),
  idRangesUsedUp: () =>
    new EngineError(Status.RESOURCE_EXHAUSTED, "All ranges of host user ids are given out; use another data directory"),
  unsupported: (what: string) => unimplemented(`${what} is not supported by this engine`),
};
