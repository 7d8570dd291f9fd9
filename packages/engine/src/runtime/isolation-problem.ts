/** What a machine lacks to keep sandboxes apart. */
export interface IsolationProblem {
  what: string;
  why: string;
  todo: string;
  /** Whether sandboxes cannot run at all because of it. */
  fatal: boolean;
}
