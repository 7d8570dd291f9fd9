/** What is counted of a turn, a session or a round; what is not 0 is a failure, but for `unread` and `unsaid`. */
export interface Counts {
  lost: number;
  doubled: number;
  disordered: number;
  /** Spooled in a sandbox that was destroyed before anyone could read it. */
  unread: number;
  /** Said by the model, and never printed by a process that died: it was never an event. */
  unsaid: number;
}

export const noCounts = (): Counts => ({ lost: 0, doubled: 0, disordered: 0, unread: 0, unsaid: 0 });

export interface Finding extends Counts {
  failures: string[];
}
