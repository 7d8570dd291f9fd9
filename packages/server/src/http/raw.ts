import { api } from "@holdfast/protocol";
import type { AppContext } from "../context.ts";
import { type Implemented, implement } from "./implement.ts";

/** What fits into one write; small lines are not sent one by one. */
const chunkBytes = 64 * 1024;

/** The CLI's own lines. */
export function rawRoutes({ sessions, closing }: AppContext): Implemented[] {
  const read = implement(api.raw.read, async ({ account, params, query, c }) => {
    const full = query.full === "1";
    const left = new AbortController();
    const signal = AbortSignal.any([left.signal, closing, c.req.raw.signal]);
    const lines = await sessions.raw(account.id, params.id, { full, signal });
    const body = pulled(lines, left);
    return new Response(body, { headers: { "content-type": "application/x-ndjson", "cache-control": "no-store" } });
  });
  return [read];
}

/** Nothing is read before the client takes it. */
function pulled(lines: AsyncGenerator<Uint8Array>, left: AbortController): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const parts: Uint8Array[] = [];
        for (let bytes = 0; bytes < chunkBytes; ) {
          const next = await lines.next();
          if (next.done) {
            if (parts.length > 0) controller.enqueue(Buffer.concat(parts));
            return controller.close();
          }
          bytes += next.value.length;
          parts.push(next.value);
        }
        controller.enqueue(Buffer.concat(parts));
      },
      async cancel() {
        left.abort();
        await lines.return(undefined);
      },
    },
    { highWaterMark: 0 },
  );
}
