/** One server-sent event. */
export interface SseMessage {
  event: string;
  data: string;
  /** Of this event alone, when it has one. */
  id?: string;
}

/** Beyond this a single event is not ours. */
const maxEventChars = 64 * 1024 * 1024;

/** Splits a body into its events; comments and events without data are skipped, a cut-off last one too. */
export async function* readSse(body: ReadableStream<Uint8Array>): AsyncGenerator<SseMessage, void, undefined> {
  const decoder = new TextDecoder();
  let rest = "";
  let event = "";
  let id: string | undefined;
  let data: string[] = [];
  for await (const bytes of body) {
    rest += decoder.decode(bytes, { stream: true });
    if (rest.length > maxEventChars) throw new Error(`a line of the stream is longer than ${maxEventChars} characters`);
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line === "") {
        const named = { event: event === "" ? "message" : event, ...(id === undefined ? {} : { id }) };
        if (data.length > 0) yield { ...named, data: data.join("\n") };
        event = "";
        id = undefined;
        data = [];
        continue;
      }
      const { field, value } = split(line);
      if (field === "event") event = value;
      else if (field === "id") id = value;
      else if (field === "data") data.push(value);
    }
  }
}

function split(line: string): { field: string; value: string } {
  const colon = line.indexOf(":");
  if (colon < 0) return { field: line, value: "" };
  const value = line.slice(colon + 1);
  return { field: line.slice(0, colon), value: value.startsWith(" ") ? value.slice(1) : value };
}
