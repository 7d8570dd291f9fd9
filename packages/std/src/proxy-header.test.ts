import { describe, expect, it } from "vitest";
import { encodeProxyHeader, type ProxyHeader, proxyValue, readProxyHeader } from "./proxy-header.ts";

const header: ProxyHeader = {
  source: { address: "100.64.0.7", port: 40_000 },
  destination: { address: "100.127.255.1", port: 4601 },
  values: new Map([
    [proxyValue.sandbox, "sb-1"],
    [proxyValue.owner, "account:ä"],
  ]),
};

describe("a proxy's header", () => {
  it("is read as it was written, wherever it is cut, and says where it ends", () => {
    const bytes = encodeProxyHeader(header);
    const more = new Uint8Array([...bytes, ...new TextEncoder().encode("GET / HTTP/1.1")]);
    for (let cut = 0; cut < bytes.length; cut++) expect(readProxyHeader(bytes.subarray(0, cut))).toBe("incomplete");
    expect(readProxyHeader(bytes)).toEqual({ header, length: bytes.length });
    expect(readProxyHeader(more)).toEqual({ header, length: bytes.length });
  });

  it("is not there in anything else, which is told by its first byte", () => {
    for (const text of ["G", "GET / HTTP/1.1", "PROXY TCP4 1.2.3.4", "\r\n\r\n\r", "\r\nX"]) {
      expect(readProxyHeader(new TextEncoder().encode(text)), JSON.stringify(text)).toBe("absent");
    }
    expect(readProxyHeader(new Uint8Array())).toBe("incomplete");
  });

  it("with any byte changed is read as another, is none or wants more, and never throws", () => {
    const bytes = encodeProxyHeader(header);
    for (let at = 0; at < bytes.length; at++) {
      for (const value of [0, 1, 0x7f, 0xff]) {
        const changed = bytes.slice();
        changed[at] = value;
        const read = readProxyHeader(changed);
        if (typeof read === "object") expect(read.length).toBeLessThanOrEqual(changed.length);
      }
    }
    for (let at = 0; at < 16; at++) {
      const changed = bytes.slice();
      changed[at] = (changed[at] ?? 0) ^ 0x80;
      expect(readProxyHeader(changed)).not.toMatchObject({ header });
    }
  });

  it("leaves out values of others", () => {
    const bytes = encodeProxyHeader({
      ...header,
      values: new Map([
        [0x05, "unique"],
        [proxyValue.sandbox, "sb-2"],
      ]),
    });
    expect(readProxyHeader(bytes)).toMatchObject({ header: { values: new Map([[proxyValue.sandbox, "sb-2"]]) } });
  });

  it("is not written for a port that there cannot be, which would be another one on the wire", () => {
    for (const port of [-1, 65_536, 80.5, Number.NaN]) {
      expect(() => encodeProxyHeader({ ...header, source: { address: "1.2.3.4", port } }), `${port}`).toThrow(
        RangeError,
      );
      expect(() => encodeProxyHeader({ ...header, destination: { address: "1.2.3.4", port } })).toThrow(RangeError);
    }
  });

  it("is not written for what is no address, nor longer than a reader would hold", () => {
    const source = (address: string) => () => encodeProxyHeader({ ...header, source: { address, port: 1 } });
    for (const address of [
      "",
      "::1",
      "1.2.3",
      "1.2.3.256",
      "1.2.3.x",
      "1.2.3.",
      "1..2.3",
      "1.2.3.4.5",
      " 1.2.3.4",
      "1.2.3.0x7",
      "1.2.3.1e1",
      "1.2.3.-0",
      "1.2.3.4.",
      "1.2.3.04",
    ])
      expect(source(address), address).toThrow(RangeError);
    const long = new Map([[proxyValue.owner, "x".repeat(2_100)]]);
    expect(() => encodeProxyHeader({ ...header, values: long })).toThrow("too long");
  });

  it("has no values, or many, of text of any kind", () => {
    const texts = ["", "ü🚀", "a".repeat(900), "\u0000\r\n", '{"json":true}'];
    for (let count = 0; count <= texts.length; count++) {
      const values = new Map(texts.slice(0, count).map((text, n) => [0xe0 + n, text]));
      const bytes = encodeProxyHeader({ ...header, values });
      expect(readProxyHeader(bytes)).toEqual({ header: { ...header, values }, length: bytes.length });
    }
  });

  it("is as long as a reader would hold, and not a byte longer", () => {
    const withText = (length: number) => ({ ...header, values: new Map([[proxyValue.owner, "x".repeat(length)]]) });
    const longest = 2_048 - 16 - 12 - 3;
    expect(readProxyHeader(encodeProxyHeader(withText(longest)))).toMatchObject({ length: 2_048 });
    expect(() => encodeProxyHeader(withText(longest + 1))).toThrow("too long");
  });

  it("goes over the wire as the PROXY protocol has it", () => {
    const bytes = encodeProxyHeader({ ...header, values: new Map([[proxyValue.sandbox, "s"]]) });
    const words = ["0d0a0d0a000d0a515549540a", "21", "11", "0010", "64400007", "647fff01", "9c40", "11f9", "e0000173"];
    expect(Buffer.from(bytes).toString("hex")).toBe(words.join(""));
  });

  it.each([
    ["of the other version", 12, 0x11],
    ["of a proxy that speaks for itself", 12, 0x20],
    ["over UDP", 13, 0x12],
    ["over IPv6", 13, 0x21],
    ["that promises more than anybody holds", 14, 0x08],
    ["too short for its addresses", 15, 0x0b],
    ["whose value is cut off", 30, 0x02],
    ["with half a value behind the last", 30, 0x00],
  ])("%s is none", (_what, at, value) => {
    const bytes = encodeProxyHeader({ ...header, values: new Map([[proxyValue.sandbox, "s"]]) });
    bytes[at] = value;
    expect(readProxyHeader(bytes)).toBe("absent");
  });

  it("is read where it lies in a larger buffer", () => {
    const bytes = encodeProxyHeader(header);
    const larger = new Uint8Array(bytes.length + 20).fill(0xff);
    larger.set(bytes, 7);
    expect(readProxyHeader(larger.subarray(7))).toEqual({ header, length: bytes.length });
  });
});
