export interface ApiErrorFields {
  /** One of the server's problem codes, or `connection_failed`, `answer_malformed`. */
  code: string;
  /** HTTP status; 0 when there was no answer. */
  status: number;
  /** What happened in this case. */
  detail: string;
  /** What to do about it; may be empty when the answer did not come from Holdfast. */
  remedy: string;
  /** Finds the request in the server's log. */
  requestId: string | undefined;
  /** Whether the same request may succeed later. */
  retryable: boolean;
}

/** Every failure of a call, other than its signal's. */
export class ApiError extends Error implements ApiErrorFields {
  override name = "ApiError";
  readonly code: string;
  readonly status: number;
  readonly detail: string;
  readonly remedy: string;
  readonly requestId: string | undefined;
  readonly retryable: boolean;

  constructor(fields: ApiErrorFields, options?: { cause?: unknown }) {
    super(fields.detail, options);
    this.code = fields.code;
    this.status = fields.status;
    this.detail = fields.detail;
    this.remedy = fields.remedy;
    this.requestId = fields.requestId;
    this.retryable = fields.retryable;
  }
}

type Fields = Record<string, unknown>;

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const text = (value: unknown) => (typeof value === "string" && value !== "" ? value : undefined);

/** Reads an RFC 9457 problem, or Anthropic's error shape, or whatever a proxy in between answered. */
export function errorOf(response: { status: number; headers: Headers }, body: string): ApiError {
  const { status, headers } = response;
  const json = parse(body);
  const own = isFields(json.holdfast) ? json.holdfast : {};
  const anthropic = isFields(json.error) ? json.error : {};
  const named = Array.isArray(json.errors)
    ? json.errors.filter(isFields).map((each) => `${text(each.path) ?? "?"}: ${text(each.message) ?? "not accepted"}`)
    : [];
  const said = text(json.detail) ?? text(json.title) ?? text(anthropic.message);
  return new ApiError({
    code: text(json.code) ?? text(own.code) ?? text(anthropic.type) ?? `http_${status}`,
    status,
    detail: [said ?? `The server answered ${status} without a Holdfast error`, ...named].join("; "),
    remedy: text(json.remedy) ?? text(own.remedy) ?? "",
    requestId: text(json.request_id) ?? headers.get("request-id") ?? undefined,
    retryable: retryable(headers.get("x-should-retry"), status),
  });
}

function parse(body: string): Fields {
  try {
    const value: unknown = JSON.parse(body);
    return isFields(value) ? value : {};
  } catch {
    // Not from Holdfast; the status alone must do.
    return {};
  }
}

function retryable(header: string | null, status: number): boolean {
  if (header !== null) return header === "true";
  return status === 408 || status === 429 || status >= 500;
}

/** No answer at all: refused, unknown host, cut off. */
export function connectionError(url: string, cause: unknown): ApiError {
  return new ApiError(
    {
      code: "connection_failed",
      status: 0,
      detail: `${new URL(url).origin} does not answer: ${reasonOf(cause)}`,
      remedy: "Check the address, and that Holdfast is running there.",
      requestId: undefined,
      retryable: true,
    },
    { cause },
  );
}

/** `fetch` says only "fetch failed"; the reason lies below. */
function reasonOf(error: unknown): string {
  for (let each = error; each instanceof Error; each = each.cause) {
    const code = (each as { code?: unknown }).code;
    if (code === "ECONNREFUSED") return "the connection was refused";
    if (code === "ENOTFOUND" || code === "EAI_AGAIN") return "the host name is unknown";
    if (code === "ECONNRESET" || code === "UND_ERR_SOCKET") return "the connection was cut";
    if (each.cause === undefined) return each.message;
  }
  return String(error);
}
