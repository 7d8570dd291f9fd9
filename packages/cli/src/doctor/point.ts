/** One thing that was looked at. */
export interface Point {
  name: string;
  /** A problem stops something; a note is good to know. */
  verdict: "ok" | "note" | "problem";
  text: string;
  remedy?: string;
}

export const ok = (name: string, text: string): Point => ({ name, verdict: "ok", text });
export const note = (name: string, text: string, remedy?: string): Point => ({
  name,
  verdict: "note",
  text,
  ...(remedy === undefined ? {} : { remedy }),
});
export const problem = (name: string, text: string, remedy: string): Point => ({
  name,
  verdict: "problem",
  text,
  remedy,
});
