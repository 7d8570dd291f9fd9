/**
 * What a proxy says first on a connection that it opens for somebody else: version 2 of the PROXY protocol, TCP over IPv4, with
 * values of its own (types 0xE0 to 0xEF) as text. Whoever stands behind the proxy can write no byte before it.
 */
export interface ProxyHeader {
  readonly source: ProxyAddress;
  readonly destination: ProxyAddress;
  /** By type; other types are left out when reading. */
  readonly values: ReadonlyMap<number, string>;
}

export interface ProxyAddress {
  /** IPv4, in dots. */
  readonly address: string;
  readonly port: number;
}

/** Types of the values that say for whom a connection was opened. */
export const proxyValue = {
  /** Id of the sandbox. */
  sandbox: 0xe0,
  /** Who owns it, as the proxy's operator names owners. */
  owner: 0xe1,
} as const;

const signature = Uint8Array.of(0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a);
const proxyCommand = 0x21;
const tcpOverIpv4 = 0x11;
const fixedBytes = 16;
const addressBytes = 12;
/** What a reader holds before it knows who speaks. */
const longestBytes = 2_048;

/** Throws a RangeError for an address or a port that is none and for values that are too long together. */
export function encodeProxyHeader(header: ProxyHeader): Uint8Array {
  const values = [...header.values].map(([type, text]) => ({ type, bytes: new TextEncoder().encode(text) }));
  const length = addressBytes + values.reduce((sum, { bytes }) => sum + 3 + bytes.length, 0);
  if (fixedBytes + length > longestBytes) throw new RangeError("The values of a proxy header are too long.");
  const out = new Uint8Array(fixedBytes + length);
  const view = new DataView(out.buffer);
  out.set(signature);
  out[12] = proxyCommand;
  out[13] = tcpOverIpv4;
  view.setUint16(14, length);
  out.set(octets(header.source.address), 16);
  out.set(octets(header.destination.address), 20);
  view.setUint16(24, checkedPort(header.source.port));
  view.setUint16(26, checkedPort(header.destination.port));
  let at = fixedBytes + addressBytes;
  for (const { type, bytes } of values) {
    out[at] = type;
    view.setUint16(at + 1, bytes.length);
    out.set(bytes, at + 3);
    at += 3 + bytes.length;
  }
  return out;
}

export type ReadProxyHeader =
  | { readonly header: ProxyHeader; readonly length: number }
  /** More bytes are needed to tell. */
  | "incomplete"
  /** The connection begins with something else, or with a header that is none. */
  | "absent";

/** Reads the header that `bytes` begin with. */
export function readProxyHeader(bytes: Uint8Array): ReadProxyHeader {
  for (let at = 0; at < Math.min(bytes.length, signature.length); at++)
    if (bytes[at] !== signature[at]) return "absent";
  if (bytes.length < fixedBytes) return "incomplete";
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = fixedBytes + view.getUint16(14);
  const known = bytes[12] === proxyCommand && bytes[13] === tcpOverIpv4;
  if (!known || length > longestBytes || length < fixedBytes + addressBytes) return "absent";
  if (bytes.length < length) return "incomplete";
  const values = readValues(bytes.subarray(fixedBytes + addressBytes, length));
  if (values === undefined) return "absent";
  const address = (at: number) => bytes.subarray(at, at + 4).join(".");
  const source = { address: address(16), port: view.getUint16(24) };
  return { header: { source, destination: { address: address(20), port: view.getUint16(26) }, values }, length };
}

function readValues(bytes: Uint8Array): Map<number, string> | undefined {
  const values = new Map<number, string>();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < bytes.length; ) {
    if (at + 3 > bytes.length) return undefined;
    const type = view.getUint8(at);
    const end = at + 3 + view.getUint16(at + 1);
    if (end > bytes.length) return undefined;
    if (type >= 0xe0 && type <= 0xef) values.set(type, new TextDecoder().decode(bytes.subarray(at + 3, end)));
    at = end;
  }
  return values;
}

function octets(address: string): number[] {
  const parts = address.split(".");
  // Nothing else that is a number to JavaScript: "", "0x7" and "1e1" are.
  const good = parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255);
  if (!good) throw new RangeError(`${address} is no IPv4 address.`);
  return parts.map(Number);
}

function checkedPort(port: number): number {
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new RangeError(`${port} is no port.`);
  return port;
}
