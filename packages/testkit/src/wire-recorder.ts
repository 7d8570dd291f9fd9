import { type ClientHttp2Session, connect, constants, createServer, type ServerHttp2Stream } from "node:http2";
import { fileURLToPath } from "node:url";
import { loadSync, type MethodDefinition, type ServiceDefinition } from "@grpc/proto-loader";
import { GrpcMessageSplitter, grpcMessage } from "./grpc-messages.ts";

type Message = Record<string, unknown>;

/** One gRPC call between the SDK and the engine, as it went over the wire. */
export interface WireCall {
  /** The method's last name: `SandboxCreateV2`, `TaskExecStart`… */
  method: string;
  /** Decoded first request. */
  request: Message;
  /** Decoded last response; undefined while it runs. */
  response?: Message;
  /** gRPC status; undefined while it runs. */
  status?: number;
}

/** What happened, in the order of the wire. */
export type WireEvent =
  | { kind: "sandbox.create"; request: Message }
  | { kind: "exec.start"; execId: string; args: string[]; secretKeys: string[]; pty: boolean }
  | { kind: "exec.exit"; execId: string; args: string[]; code: number | null; signal: number | null };

export interface WireRecorder extends AsyncDisposable {
  /** What the SDK's MODAL_SERVER_URL is set to. */
  url: string;
  /** The engine's URL; set before the first call. */
  target: string;
  calls: WireCall[];
  events: WireEvent[];
  /** Forgets what was recorded so far. */
  clear(): void;
  /** Changes a request before it goes on; undefined leaves it. */
  rewrite: ((method: string, request: Message) => Message | undefined) | undefined;
}

const protoDir = fileURLToPath(new URL("../../engine/src/proto/", import.meta.url));
const decodeOptions = { keepCase: false, longs: Number, enums: String, defaults: true, oneofs: true };

/** Methods whose answer holds the engine's own address, which must become ours, or the SDK would go past us. */
const answersWithAddress = new Set(["SandboxCreateV2", "SandboxGetCommandRouterAccess", "TaskGetCommandRouterAccess"]);

/** A plaintext HTTP/2 proxy that understands gRPC messages well enough to write down who asked what, in which order. */
export async function startWireRecorder(): Promise<WireRecorder> {
  const methods = loadMethods();
  const sessions = new Map<string, ClientHttp2Session>();
  const server = createServer();
  const recorder: WireRecorder = {
    url: "",
    target: "",
    calls: [],
    events: [],
    rewrite: undefined,
    clear() {
      recorder.calls = [];
      recorder.events = [];
    },
    async [Symbol.asyncDispose]() {
      for (const session of sessions.values()) session.destroy();
      for (const session of incoming) session.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
  const incoming = new Set<{ destroy(): void }>();
  server.on("session", (session) => {
    incoming.add(session);
    session.on("close", () => incoming.delete(session));
    // A client that leaves in the middle is an ordinary event here.
    session.on("error", () => undefined);
  });
  server.on("stream", (stream, headers) => {
    const method = methods.get(String(headers[":path"]));
    const session = upstream(recorder.target, sessions);
    new ProxiedCall(recorder, method, stream).run(session, headers);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  recorder.url = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
  return recorder;
}

type Method = MethodDefinition<object, object>;

function loadMethods(): Map<string, Method> {
  const loaded = loadSync(["modal-client.proto", "task-command-router.proto"], {
    ...decodeOptions,
    includeDirs: [protoDir],
  });
  const methods = new Map<string, Method>();
  for (const definition of Object.values(loaded)) {
    if ("format" in definition) continue;
    for (const method of Object.values(definition as ServiceDefinition)) methods.set(method.path, method);
  }
  return methods;
}

function upstream(target: string, sessions: Map<string, ClientHttp2Session>): ClientHttp2Session {
  const known = sessions.get(target);
  if (known !== undefined && !known.closed && !known.destroyed) return known;
  const session = connect(target);
  // Its calls fail with it, each with its own error.
  session.on("error", () => undefined);
  sessions.set(target, session);
  return session;
}

class ProxiedCall {
  readonly #recorder: WireRecorder;
  readonly #method: Method | undefined;
  readonly #name: string;
  readonly #client: ServerHttp2Stream;
  #call: WireCall | undefined;

  constructor(recorder: WireRecorder, method: Method | undefined, client: ServerHttp2Stream) {
    this.#recorder = recorder;
    this.#method = method;
    this.#name = method?.path.split("/").at(-1) ?? "unknown";
    this.#client = client;
  }

  run(session: ClientHttp2Session, headers: Record<string, string | string[] | undefined>): void {
    const { ":authority": _authority, host: _host, "content-length": _length, ...rest } = headers;
    const onward = session.request({ ...rest, te: "trailers" }, { endStream: false });
    const requests = new GrpcMessageSplitter();
    this.#client.on("data", (chunk: Buffer) => {
      for (const message of requests.push(chunk)) onward.write(grpcMessage(this.#onRequest(message)));
    });
    this.#client.on("end", () => onward.end());
    this.#client.on("aborted", () => onward.close(constants.NGHTTP2_CANCEL));
    this.#client.on("error", () => onward.close(constants.NGHTTP2_CANCEL));
    onward.on("error", () => {
      if (!this.#client.destroyed) this.#client.close(constants.NGHTTP2_INTERNAL_ERROR);
    });
    const responses = new GrpcMessageSplitter();
    let trailers: Record<string, unknown> = {};
    onward.on("response", (answer) => {
      const { ":status": status, ...others } = answer;
      if (this.#client.destroyed) return;
      const trailersOnly = answer["grpc-status"] !== undefined;
      if (trailersOnly) this.#onStatus(Number(answer["grpc-status"]));
      this.#client.respond(
        { ":status": status ?? 200, ...clean(others) },
        { waitForTrailers: !trailersOnly, endStream: trailersOnly },
      );
    });
    onward.on("trailers", (answer) => {
      trailers = clean(answer);
      this.#onStatus(Number(answer["grpc-status"] ?? 0));
    });
    onward.on("data", (chunk: Buffer) => {
      for (const message of responses.push(chunk)) {
        const out = grpcMessage(this.#onResponse(message));
        if (!this.#client.destroyed && !this.#client.write(out)) onward.pause();
      }
    });
    this.#client.on("drain", () => onward.resume());
    this.#client.on("wantTrailers", () => this.#client.sendTrailers(trailers as Record<string, string>));
    onward.on("end", () => {
      if (!this.#client.destroyed && this.#client.headersSent) this.#client.end();
    });
  }

  #onRequest(bytes: Buffer): Buffer {
    if (this.#method === undefined || this.#call !== undefined) return bytes;
    const request = this.#method.requestDeserialize(bytes) as Message;
    const changed = this.#recorder.rewrite?.(this.#name, request);
    this.#call = { method: this.#name, request };
    this.#recorder.calls.push(this.#call);
    if (this.#name === "SandboxCreateV2") this.#recorder.events.push({ kind: "sandbox.create", request });
    if (this.#name === "TaskExecStart") this.#recorder.events.push(execStart(request));
    return changed === undefined ? bytes : this.#method.requestSerialize(changed);
  }

  #onResponse(bytes: Buffer): Buffer {
    if (this.#method === undefined || this.#call === undefined || this.#method.responseStream) return bytes;
    const response = this.#method.responseDeserialize(bytes) as Message;
    this.#call.response = response;
    if (this.#name === "TaskExecWait") this.#onExit(response);
    if (!answersWithAddress.has(this.#name)) return bytes;
    return this.#method.responseSerialize(this.#withOwnAddress(response));
  }

  #onExit(response: Message): void {
    const execId = String(this.#call?.request.execId);
    const start = this.#recorder.events.find((event) => event.kind === "exec.start" && event.execId === execId);
    this.#recorder.events.push({
      kind: "exec.exit",
      execId,
      args: start?.kind === "exec.start" ? start.args : [],
      code: response.exitStatus === "code" ? Number(response.code) : null,
      signal: response.exitStatus === "signal" ? Number(response.signal) : null,
    });
  }

  #withOwnAddress(response: Message): Message {
    const url = this.#recorder.url.replace(/^http:/, "https:");
    const access = response.commandRouterAccess;
    if (typeof access === "object" && access !== null) return { ...response, commandRouterAccess: { ...access, url } };
    return "url" in response ? { ...response, url } : response;
  }

  #onStatus(status: number): void {
    if (this.#call !== undefined) this.#call.status = status;
  }
}

function execStart(request: Message): WireEvent {
  const sources = (request.secretSources ?? []) as { env?: { contents?: Record<string, string> } }[];
  const pty = request.ptyInfo as { enabled?: boolean } | null | undefined;
  return {
    kind: "exec.start",
    execId: String(request.execId),
    args: request.commandArgs as string[],
    secretKeys: sources.flatMap((source) => Object.keys(source.env?.contents ?? {})).sort(),
    pty: pty?.enabled === true,
  };
}

/** Without what belongs to one HTTP/2 connection. */
function clean(headers: object): Record<string, string> {
  const result: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(":") || name === "connection" || name === "content-length") continue;
    result[name] = String(value);
  }
  return result;
}
