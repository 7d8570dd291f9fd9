import type { z } from "zod";

type Issues = readonly z.core.$ZodIssue[];

/**
 * The words for a value that is in none of a union's forms: what is wrong with it as the one that it was meant to be in,
 * which its own type and its `type` say; `forms` where they say none.
 */
export const asMeant =
  (forms: string) =>
  (issue: z.core.$ZodRawIssue): string => {
    const tried = issue.code === "invalid_union" ? (issue.errors as readonly Issues[]) : [];
    const meant = tried.find((issues) => !issues.some(isOfAnother));
    return meant?.map(inWords).join("; ") ?? forms;
  };

function isOfAnother({ code, path }: z.core.$ZodIssue): boolean {
  return path.length === 0 ? code !== "unrecognized_keys" : path.length === 1 && path[0] === "type";
}

function inWords({ path, message }: z.core.$ZodIssue): string {
  return path.length === 0 ? message : `${path.join(".")}: ${message}`;
}
