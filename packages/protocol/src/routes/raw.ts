import { choice } from "./parameters.ts";
import { define } from "./route.ts";

const description = `What Claude Code printed, line by line (NDJSON), over all of the session's processes, in order, as far as it is stored now; live text (\`stream_event\`) excepted. Images and the copies of files that a tool's result carries are clipped: the text \`[clipped by Holdfast: SIZE bytes, sha256 HASH]\` stands in their place. Nothing else is changed. A line that is no JSON comes as \`{"type":"holdfast.not_json","text":…}\`.`;

const base = { tag: "Holdfast" } as const;

export const rawRoutes = {
  read: define({
    ...base,
    method: "get",
    path: "/v1/sessions/{id}/raw",
    summary: "Read the raw record of a session",
    description,
    auth: "account",
    query: {
      full: choice(["0", "1"], "`1`: every byte as it was printed, nothing clipped or wrapped"),
    },
    ok: { status: 200, description: "The lines", type: "application/x-ndjson" },
    problems: ["session_not_found"],
  }),
} as const;
