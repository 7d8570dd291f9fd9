import {
  decodeLine,
  isStateAnswer,
  type MapperContext,
  type MapperState,
  type MapResult,
  mapLine,
} from "@holdfast/claude";
import type { DraftFrame, NewEvent } from "@holdfast/protocol";
import type { LineEffect, ProcessOwner } from "./process-owner.ts";

/** A line of the CLI and where it stood in its process's output. */
export interface SpooledLine {
  bytes: Uint8Array;
  start: number;
  end: number;
  /** Its beginning is lost. */
  isTorn?: boolean;
}

const maxLines = 500;
const maxBytes = 1024 * 1024;

/** Lines that are committed as one, with everything that follows from them. */
export class LineBatch {
  readonly events: NewEvent[] = [];
  /** All but drafts and what was asked on the side, as they were printed. */
  readonly raw: SpooledLine[] = [];
  /** Of the last line. */
  end: number | undefined;
  session: LineEffect["session"];
  more: LineEffect["more"];
  also: LineEffect["also"];
  after: LineEffect["after"];
  #lines = 0;
  #bytes = 0;
  #drafts: DraftFrame[] = [];
  #hasEffect = false;

  /** Adds a line; gives what the codec remembers after it. */
  add(
    line: SpooledLine,
    { mapper, context, owner }: { mapper: MapperState; context: MapperContext; owner: ProcessOwner },
  ): MapperState {
    const decoded = decodeLine(line.bytes);
    const result = mapLine(mapper, decoded, context);
    const isKept = decoded.kind !== "json" || !(decoded.value.type === "stream_event" || isStateAnswer(decoded.value));
    if (isKept) {
      this.raw.push(line);
      this.#bytes += line.bytes.length;
    }
    this.#lines++;
    this.end = line.end;
    // The end of a line says nothing by itself; the raw record has it.
    if (line.isTorn === true && decoded.kind === "text") return mapper;
    this.#take(result, owner.onLine(result));
    return result.state;
  }

  /** What the end of the process adds. */
  addExit(ended: MapResult, effect: LineEffect): void {
    this.#take(ended, { ...effect, events: [...ended.events, ...effect.events] });
  }

  addEffect(effect: LineEffect): void {
    this.#take({ events: [], drafts: [] }, effect);
  }

  /** Output is missing up to `to`; drafts that were open come to nothing. */
  addGap(ended: MapResult, said: NewEvent, to: number): void {
    this.#take(ended, { events: [...ended.events, said] });
    this.end = to;
  }

  /** Its last line asks for more than events: nothing may be read on before that is done. */
  get isBarrier(): boolean {
    return this.more !== undefined || this.also !== undefined || this.after !== undefined;
  }

  get isFull(): boolean {
    return this.#lines >= maxLines || this.#bytes >= maxBytes;
  }

  /** Drafts alone are not worth a transaction. */
  get mustCommit(): boolean {
    return this.#hasEffect || this.events.length > 0 || this.#bytes >= maxBytes;
  }

  /** Of what becomes an event in this very batch: to be shown before its events are, or it would come after its end. */
  takeEndedDrafts(): DraftFrame[] {
    const ended = new Set(this.events.map(({ id }) => id));
    const { true: early = [], false: late = [] } = Object.groupBy(
      this.#drafts,
      (draft) => `${ended.has(draftId(draft))}`,
    );
    this.#drafts = late;
    return early;
  }

  /** To be shown once the events are. */
  takeDrafts(): DraftFrame[] {
    const drafts = this.#drafts;
    this.#drafts = [];
    this.#lines = 0;
    return drafts;
  }

  #take(result: Pick<MapResult, "events" | "drafts">, effect: LineEffect | undefined): void {
    this.events.push(...(effect?.events ?? result.events));
    this.#drafts.push(...result.drafts);
    if (effect === undefined) return;
    this.#hasEffect = true;
    this.session = { ...this.session, ...effect.session };
    this.more = effect.more;
    this.also = effect.also;
    this.after = effect.after;
  }
}

function draftId(draft: DraftFrame): string {
  return draft.type === "event_start" ? draft.event.id : draft.event_id;
}
