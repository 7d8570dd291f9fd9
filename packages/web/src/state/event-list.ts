import type { SessionEvent } from "@holdfast/protocol";

interface Shared {
  readonly events: SessionEvent[];
  /** Place of each event, by id. */
  readonly places: Map<string, number>;
}

/**
 * Events in the order of their `seq`. Immutable for whoever holds one; what is added at the end goes into memory that
 * all versions share, so that it costs what is added and not what is there.
 */
export class EventList implements Iterable<SessionEvent> {
  readonly #shared: Shared;
  readonly length: number;

  private constructor(shared: Shared, length: number) {
    this.#shared = shared;
    this.length = length;
  }

  static of(events: Iterable<SessionEvent>): EventList {
    return new EventList({ events: [], places: new Map() }, 0).append(events);
  }

  at(place: number): SessionEvent | undefined {
    const index = place < 0 ? this.length + place : place;
    return index < this.length ? this.#shared.events[index] : undefined;
  }

  has(id: string): boolean {
    const place = this.#shared.places.get(id);
    return place !== undefined && place < this.length;
  }

  append(added: Iterable<SessionEvent>): EventList {
    // Somebody has gone on from here already: this version gets memory of its own.
    const isNewest = this.#shared.events.length === this.length;
    const { events, places } = isNewest ? this.#shared : copyOf(this);
    for (const event of added) {
      places.set(event.id, events.length);
      events.push(event);
    }
    return new EventList(isNewest ? this.#shared : { events, places }, events.length);
  }

  /** Whether it is `before`, with nothing or something added at the end. */
  extends(before: EventList): boolean {
    return this.#shared === before.#shared && this.length >= before.length;
  }

  /** Whether one of them, from `place` on, is such. */
  some(is: (event: SessionEvent) => boolean, place: number): boolean {
    for (const event of this.from(place)) if (is(event)) return true;
    return false;
  }

  *from(place: number): Generator<SessionEvent, void, undefined> {
    for (let i = place; i < this.length; i++) yield this.#shared.events[i] as SessionEvent;
  }

  [Symbol.iterator](): Iterator<SessionEvent> {
    return this.from(0);
  }
}

function copyOf(list: EventList): Shared {
  const events = [...list];
  return { events, places: new Map(events.map(({ id }, place) => [id, place])) };
}
