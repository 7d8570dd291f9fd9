/** The little of DNS that a policy needs: one question in, an answer of our own or somebody else's out. */
import packet from "dns-packet";

export interface Question {
  /** Lower case, no trailing dot; "" is the root. */
  name: string;
  /** `A`, `AAAA`, …, or `UNKNOWN_65`. */
  type: string;
  /** `IN`, …. */
  class: string;
  /** As it was asked. */
  asked: packet.Question;
}

export const responseCode = { noError: 0, formatError: 1, serverFailure: 2, noSuchName: 3, notImplemented: 4 } as const;

const headerBytes = 12;
const ttlSeconds = 60;

/** The only question of a standard query or of its response; undefined for anything else. */
export function parseQuestion(message: Buffer): Question | undefined {
  if (message.length < headerBytes || message.readUInt16BE(4) !== 1) return undefined;
  if (((message.readUInt8(2) >> 3) & 15) !== 0) return undefined;
  // Nothing but the question is read: what a stranger puts behind it costs nothing.
  const alone = Buffer.from(message).fill(0, 6, headerBytes);
  const [asked] = decode(alone)?.questions ?? [];
  if (asked === undefined) return undefined;
  // A name may be written in several ways (pointers, dots inside of a label): only the plain one says what it seems to.
  const plain = packet.encode({ questions: [asked] }).subarray(headerBytes);
  if (!plain.equals(message.subarray(headerBytes, headerBytes + plain.length))) return undefined;
  const name = asked.name === "." ? "" : asked.name.toLowerCase();
  return { name, type: asked.type, class: asked.class ?? "IN", asked };
}

function decode(message: Buffer): packet.DecodedPacket | undefined {
  try {
    return packet.decode(message);
  } catch {
    // Cut off, or no DNS: the caller answers that.
    return undefined;
  }
}

export function isQuery(message: Buffer): boolean {
  return message.length >= headerBytes && (message.readUInt8(2) & 0x80) === 0;
}

export function isInternet(question: Question): boolean {
  return question.class === "IN";
}

/** An answer to `query` with the given addresses, or with a code alone. */
export function answer(query: Buffer, question: Question | undefined, options: AnswerOptions): Buffer {
  const { code = responseCode.noError, addresses = [] } = options;
  const questions = question === undefined ? [] : [question.asked];
  // The opcode and "recursion desired" of the query.
  const kept = query.readUInt16BE(2) & 0x7900;
  return packet.encode({
    type: "response",
    id: query.readUInt16BE(0),
    flags: kept | packet.RECURSION_AVAILABLE | code,
    questions,
    answers: questions.flatMap(({ name }) =>
      addresses.map((data) => ({ type: "A" as const, name, data, ttl: ttlSeconds })),
    ),
  });
}

export interface AnswerOptions {
  code?: number;
  /** IPv4 addresses. */
  addresses?: string[];
}

/** Whether `response` answers `query`: same id, same question. */
export function answers(response: Buffer, query: Buffer): boolean {
  if (response.length < headerBytes || isQuery(response)) return false;
  if (response.readUInt16BE(0) !== query.readUInt16BE(0)) return false;
  const asked = parseQuestion(query);
  const answered = parseQuestion(response);
  if (asked === undefined) return false;
  // Some servers leave the question out of an error.
  if (answered === undefined) return response.readUInt16BE(4) === 0;
  return asked.name === answered.name && asked.type === answered.type && asked.class === answered.class;
}
