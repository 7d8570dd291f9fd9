import type { MapResult } from "@holdfast/claude";
import type { NewEvent } from "@holdfast/protocol";
import type { LineEffect } from "./process-owner.ts";

/** What one signal of a line adds to the line's own events. */
export interface LinePart extends Omit<LineEffect, "events"> {
  before?: NewEvent[];
  behind?: NewEvent[];
  /** The line itself is told in another way. */
  silent?: boolean;
}

/** All that a line does, as one. Undefined when it does nothing beyond its events. */
export function joinParts(result: MapResult, parts: readonly LinePart[]): LineEffect | undefined {
  if (parts.length === 0) return undefined;
  const session = Object.assign({}, ...parts.map((part) => part.session ?? {})) as NonNullable<LineEffect["session"]>;
  const more = parts.flatMap((part) => part.more ?? []);
  const also = parts.flatMap((part) => part.also ?? []);
  const after = parts.flatMap((part) => part.after ?? []);
  return {
    events: [
      ...parts.flatMap((part) => part.before ?? []),
      ...(parts.some(({ silent }) => silent === true) ? [] : result.events),
      ...parts.flatMap((part) => part.behind ?? []),
    ],
    ...(Object.keys(session).length === 0 ? {} : { session }),
    ...(more.length === 0
      ? {}
      : {
          more: async (tx) => {
            const added: Pick<LineEffect, "events" | "session">[] = [];
            for (const each of more) added.push(await each(tx));
            return {
              events: added.flatMap(({ events }) => events),
              session: Object.assign({}, ...added.map((each) => each.session ?? {})),
            };
          },
        }),
    ...(also.length === 0
      ? {}
      : {
          also: async (tx) => {
            for (const each of also) await each(tx);
          },
        }),
    ...(after.length === 0
      ? {}
      : {
          after: () => {
            for (const each of after) each();
          },
        }),
  };
}
