import { isAbort } from "@holdfast/std";
import { ApiError, connectionError, errorOf } from "./api-error.ts";

export interface CallOptions {
  /** Ends the call; it then rejects with the signal's reason. */
  signal?: AbortSignal;
}

export interface HttpOptions {
  baseUrl: string;
  apiKey: string | undefined;
  fetch: typeof globalThis.fetch;
}

export interface Call extends CallOptions {
  method?: "GET" | "POST" | "PUT" | "DELETE";
  query?: Record<string, string | number | undefined>;
  body?: unknown;
  accept?: string;
}

/** The one place that speaks HTTP. */
export class Http {
  readonly #options: HttpOptions;

  constructor(options: HttpOptions) {
    this.#options = options;
  }

  /** An answer of 2xx. Throws ApiError, or the signal's reason. */
  async open(path: string, call: Call = {}): Promise<Response> {
    const url = this.url(path, call.query);
    const { apiKey } = this.#options;
    const headers = new Headers({ accept: call.accept ?? "application/json" });
    if (apiKey !== undefined) headers.set("x-api-key", apiKey);
    if (call.body !== undefined) headers.set("content-type", "application/json");
    let response: Response;
    try {
      response = await this.#options.fetch(url, {
        method: call.method ?? "GET",
        headers,
        redirect: "manual",
        ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
        ...(call.signal === undefined ? {} : { signal: call.signal }),
      });
    } catch (error) {
      if (isAbort(error, call.signal)) throw call.signal?.reason ?? error;
      throw connectionError(url, error);
    }
    if (response.ok) return response;
    throw errorOf(response, await response.text().catch(() => ""));
  }

  /** The answer's JSON. */
  async json<T>(path: string, call: Call = {}): Promise<T> {
    const response = await this.open(path, call);
    try {
      const text = await response.text();
      return (text === "" ? undefined : JSON.parse(text)) as T;
    } catch (error) {
      if (isAbort(error, call.signal)) throw call.signal?.reason ?? error;
      if (!(error instanceof SyntaxError)) throw connectionError(response.url || this.#options.baseUrl, error);
      throw new ApiError(
        {
          code: "answer_malformed",
          status: response.status,
          detail: `${this.#options.baseUrl} answered something that is not JSON: it is not a Holdfast server`,
          remedy: "Check the address.",
          requestId: response.headers.get("request-id") ?? undefined,
          retryable: false,
        },
        { cause: error },
      );
    }
  }

  url(path: string, query: Call["query"] = {}): string {
    const url = new URL(`${this.#options.baseUrl.replace(/\/+$/, "")}${path}`);
    for (const [name, value] of Object.entries(query))
      if (value !== undefined) url.searchParams.set(name, String(value));
    return url.href;
  }
}

interface Page<T> {
  data: T[];
  next_page?: string | null;
}

/** All entries of a listing, a page at a time. */
export async function* pages<T>(
  http: Http,
  path: string,
  options: CallOptions & { limit?: number } = {},
): AsyncGenerator<T, void, undefined> {
  const { signal, limit } = options;
  for (let page: string | undefined; ; ) {
    const answer = await http.json<Page<T>>(path, {
      query: { page, limit },
      ...(signal === undefined ? {} : { signal }),
    });
    yield* answer.data;
    // A cursor that does not move would go round for ever.
    if (!answer.next_page || answer.next_page === page) return;
    page = answer.next_page;
  }
}
