/**
 * Words between the servers of one database. What is said may be lost (a connection that is just being made again), so
 * whoever needs an effect repeats itself until it is answered.
 */
export interface ServerBus {
  /** At most 7000 bytes. Resolves when it was handed over; the publisher hears it, too, if it subscribes. */
  publish(topic: string, payload: string): Promise<void>;
  subscribe(topic: string, handler: (payload: string) => void): Disposable;
}
