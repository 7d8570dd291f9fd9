/**
 * Words between the servers of one database, and within one server. Nothing is kept: who was not subscribed, or not
 * connected, does not hear of it. So whoever needs an effect looks into the database, or repeats itself
 * until it is answered.
 */
export interface ServerBus {
  /** Resolves when it was handed over. Subscribers on this server hear it, too. At most 7 000 bytes. */
  publish(topic: string, payload: string): Promise<void>;
  subscribe(topic: string, handler: (payload: string) => void): Disposable;
  /** Called whenever messages may have been lost, e.g. after the connection broke: look into the database. */
  onGap(handler: () => void): Disposable;
}
