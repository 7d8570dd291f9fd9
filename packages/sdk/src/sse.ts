import { createParser, type ParseError } from "eventsource-parser";

/** One server-sent event. */
export interface SseMessage {
  event: string;
  data: string;
  /** Of this event alone, when it has one. */
  id?: string;
}

/** Beyond this a single event is not ours. */
const maxEventChars = 64 * 1024 * 1024;

/**
 * Splits a body into its events; comments and events without data are skipped, a cut-off last one too. Throws when one
 * of them is longer than any of ours.
 */
export async function* readSse(body: ReadableStream<Uint8Array>): AsyncGenerator<SseMessage, void, undefined> {
  const decoder = new TextDecoder();
  let ready: SseMessage[] = [];
  let tooLong: ParseError | undefined;
  const parser = createParser({
    maxBufferSize: maxEventChars,
    onEvent: ({ event, data, id }) =>
      ready.push({ event: event || "message", data, ...(id === undefined ? {} : { id }) }),
    // A field that the format does not know means nothing.
    onError: (error) => {
      if (error.type === "max-buffer-size-exceeded") tooLong = error;
    },
  });
  for await (const bytes of body) {
    parser.feed(decoder.decode(bytes, { stream: true }));
    yield* ready;
    ready = [];
    if (tooLong !== undefined) {
      throw new Error(`an event of the stream is longer than ${maxEventChars} characters`, { cause: tooLong });
    }
  }
}
