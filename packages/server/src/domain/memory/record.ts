import { decodeLine, type RebuiltTranscript, TranscriptBuilder } from "@holdfast/claude";
import type { Database } from "../../ports/database.ts";
import { readRaw, readRawBackwards } from "../raw/read-raw.ts";

/** Batches that are looked at for what was said last. */
const batchesBack = 50;
const answersBack = 3;

/** Ids of the last answers: rows that Claude Code's own record of the conversation must have. */
export async function lastAnswers(
  db: Database,
  { sessionId, conversationId }: { sessionId: string; conversationId: string },
): Promise<string[]> {
  let batches = 0;
  for await (const lines of readRawBackwards(db, sessionId)) {
    const builder = new TranscriptBuilder();
    for (const line of lines) addLine(builder, line, conversationId);
    const answers = builder.lastAnswers(answersBack);
    if (answers.length > 0) return answers;
    if (++batches === batchesBack) break;
  }
  return [];
}

/** The conversation, from all that Claude Code printed in it. `without`: messages that are about to be said. */
export async function rebuiltTranscript(
  db: Database,
  options: { sessionId: string; conversationId: string; without: readonly string[]; signal: AbortSignal },
): Promise<RebuiltTranscript> {
  const { sessionId, conversationId, without, signal } = options;
  const builder = new TranscriptBuilder({ without });
  for await (const line of readRaw(db, { sessionId, full: true, signal })) {
    addLine(builder, line, conversationId);
  }
  return builder.build(conversationId);
}

/** Of this conversation alone: `/clear` begins another one in the same session. */
function addLine(builder: TranscriptBuilder, bytes: Uint8Array, conversationId: string): void {
  const decoded = decodeLine(bytes);
  if (decoded.kind !== "json") return;
  const { session_id: of = conversationId } = decoded.value;
  if (of === conversationId) builder.add(decoded.value);
}
