/** The little of DNS that a policy needs: one question in, an answer of our own or somebody else's out. */

export interface Question {
  /** Lower case, no trailing dot; "" is the root. */
  name: string;
  type: number;
  class: number;
  /** Where the question section ends. */
  endOffset: number;
}

export const recordType = { a: 1, aaaa: 28 } as const;
export const responseCode = { noError: 0, formatError: 1, serverFailure: 2, noSuchName: 3, notImplemented: 4 } as const;

const internet = 1;
const headerBytes = 12;

/** The only question of a standard query or of its response; undefined for anything else. */
export function parseQuestion(message: Buffer): Question | undefined {
  if (message.length < headerBytes + 5 || message.readUInt16BE(4) !== 1) return undefined;
  if (((message.readUInt8(2) >> 3) & 15) !== 0) return undefined;
  const labels: string[] = [];
  let at = headerBytes;
  for (;;) {
    const length = message[at];
    if (length === undefined) return undefined;
    at += 1;
    if (length === 0) break;
    // A question has no pointers; a name has at most 255 bytes.
    if (length > 63 || at + length > message.length || at - headerBytes + length > 255) return undefined;
    labels.push(message.toString("latin1", at, at + length));
    at += length;
  }
  if (at + 4 > message.length || labels.some((label) => label.includes("."))) return undefined;
  return {
    name: labels.join(".").toLowerCase(),
    type: message.readUInt16BE(at),
    class: message.readUInt16BE(at + 2),
    endOffset: at + 4,
  };
}

export function isQuery(message: Buffer): boolean {
  return message.length >= headerBytes && (message.readUInt8(2) & 0x80) === 0;
}

export function isInternet(question: Question): boolean {
  return question.class === internet;
}

/** An answer to `query` with the given addresses, or with a code alone. */
export function answer(query: Buffer, question: Question | undefined, options: AnswerOptions): Buffer {
  const { code = responseCode.noError, addresses = [] } = options;
  const head = Buffer.alloc(headerBytes);
  head.writeUInt16BE(query.readUInt16BE(0), 0);
  // A response, recursion available, the opcode and "recursion desired" of the query.
  head.writeUInt8((query.readUInt8(2) & 0x79) | 0x80, 2);
  head.writeUInt8(0x80 | code, 3);
  head.writeUInt16BE(question === undefined ? 0 : 1, 4);
  head.writeUInt16BE(addresses.length, 6);
  const asked = question === undefined ? Buffer.alloc(0) : query.subarray(headerBytes, question.endOffset);
  const records = addresses.map((address) => {
    const fixed = Buffer.from([0xc0, headerBytes, 0, recordType.a, 0, internet, 0, 0, 0, 60, 0, 4]);
    return Buffer.concat([fixed, Buffer.from(address.split(".").map(Number))]);
  });
  return Buffer.concat([head, asked, ...records]);
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
