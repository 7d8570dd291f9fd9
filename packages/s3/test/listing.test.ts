import { type _Object, type CommonPrefix, ListObjectsCommand, ListObjectsV2Command } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseXml } from "../src/wire/xml.ts";
import { sendSigned } from "./_raw.ts";
import { type TestServer, testServer } from "./_server.ts";

let kit: TestServer;
const Bucket = "test";

/** Names that XML, URLs and file systems have to be told about. */
const KEYS = [
  "<a>&\"'/x",
  "<a>&\"'/y]]>",
  "a b+c%20",
  "bell\u0007\u001b",
  "cr\rlf\n",
  "e\u0301",
  "é",
  "tab\t",
  "\u0001/control",
  "日本/雪",
  "😀/smile",
  "\ufffe\uffff",
];

beforeAll(async () => {
  kit = await testServer({ durable: false });
  for (const key of KEYS) await kit.client().put({ bucket: Bucket, key, body: "x" });
});
afterAll(() => kit[Symbol.asyncDispose]());

const inOrder = (keys: readonly string[]) => [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));

async function listed(query: string): Promise<string> {
  const sorted = query.split("&").sort().join("&");
  const path = `/test?${query}`;
  const answer = await sendSigned(kit.url, { method: "GET", path, headers: {}, canonical: { query: sorted } });
  expect(answer.status, answer.body).toBe(200);
  return answer.body;
}

const texts = (xml: string, name: string) =>
  [...xml.matchAll(new RegExp(`<${name}>([^<]*)</${name}>`, "g"))].map(([, text = ""]) => text);

describe("a listing", () => {
  it("escapes names so that they come back as they are, in the order of their bytes", async () => {
    const xml = await listed("list-type=2");
    expect(xml).not.toMatch(/[^\n\x20-\uffff]/);
    const keys = parseXml(xml).children.filter(({ name }) => name === "Contents");
    expect(keys.map(({ children }) => children.find(({ name }) => name === "Key")?.text)).toEqual(inOrder(KEYS));
    expect(texts(xml, "Key")).toContain("cr&#xd;lf&#xa;");
    expect(texts(xml, "Key")).toContain("&lt;a&gt;&amp;&quot;'/y]]&gt;");
  });

  it("with encoding-type=url holds nothing but ASCII in names, prefixes and markers", async () => {
    for (const query of [
      "encoding-type=url&list-type=2&prefix=%E6%97%A5&start-after=%E6%97%A4&delimiter=%E9%9B%AA",
      "encoding-type=url&prefix=%E6%97%A5&marker=%E6%97%A4&delimiter=%E9%9B%AA",
    ]) {
      const xml = await listed(query);
      expect(Buffer.byteLength(xml)).toBe(xml.length);
      expect(texts(xml, "Prefix")).toEqual(["%E6%97%A5", "%E6%97%A5%E6%9C%AC/%E9%9B%AA"]);
      expect(texts(xml, "Delimiter")).toEqual(["%E9%9B%AA"]);
      expect([...texts(xml, "StartAfter"), ...texts(xml, "Marker")]).toEqual(["%E6%97%A4"]);
    }
    const xml = await listed("encoding-type=url&list-type=2");
    expect(texts(xml, "Key").map(decodeURIComponent)).toEqual(inOrder(KEYS));
  });

  it.each([
    ["max-keys=-1", "InvalidArgument"],
    ["max-keys=ten", "InvalidArgument"],
    ["max-keys=1e3", "InvalidArgument"],
    ["encoding-type=html", "InvalidArgument"],
    ["encoding-type=", "InvalidArgument"],
    ["list-type=1", "InvalidArgument"],
    ["continuation-token=%2B%2F&list-type=2", "InvalidArgument"],
    ["list-type=2&marker=a", "NotImplemented"],
    ["list-type=2&versions=", "NotImplemented"],
  ])("is refused for ?%s", async (query, code) => {
    const answer = await sendSigned(kit.url, { method: "GET", path: `/test?${query}`, headers: {} });
    expect(answer.code).toBe(code);
  });

  it("gives at most a thousand keys, and none at all where none are asked for", async () => {
    expect(texts(await listed("list-type=2&max-keys=5000"), "MaxKeys")).toEqual(["1000"]);
    for (const query of ["list-type=2&max-keys=0", "max-keys=0"]) {
      const xml = await listed(query);
      expect([texts(xml, "Key"), texts(xml, "IsTruncated"), texts(xml, "MaxKeys")]).toEqual([[], ["false"], ["0"]]);
    }
  });

  it("names the owner where it is asked to", async () => {
    expect(texts(await listed("fetch-owner=true&list-type=2&max-keys=1"), "ID")).toEqual(["holdfast"]);
    expect(texts(await listed("list-type=2&max-keys=1"), "ID")).toEqual([]);
  });
});

/** What S3 documents: names below the prefix, cut behind the first delimiter in the rest. */
function rolledUp(keys: readonly string[], prefix: string, delimiter: string): string[] {
  const cut = (key: string) => {
    const at = delimiter === "" ? -1 : key.indexOf(delimiter, prefix.length);
    return at < 0 ? key : key.slice(0, at + delimiter.length);
  };
  return [...new Set(inOrder(keys.filter((key) => key.startsWith(prefix))).map(cut))];
}

describe("pages of any size with any delimiter", () => {
  const keys = ["", "a", "aa", "aab", "ab", "abab", "b", "bab"]
    .flatMap((text) => [`${text}x`, `${text}xx`, `${text}/x`, `d/${text}/y`, `d//${text}z`])
    .concat("é/1", "é/2", "éé", "d/", "d");
  let own: TestServer;
  beforeAll(async () => {
    own = await testServer({ durable: false });
    await Promise.all(keys.map((key) => own.client().put({ bucket: Bucket, key, body: "" })));
  });
  afterAll(() => own[Symbol.asyncDispose]());

  const CASES = ["/", "x", "xx", "ab", "é", "//"].flatMap((delimiter) =>
    ["", "a", "d/", "none"].map((prefix) => ({ delimiter, prefix })),
  );

  it.each([1, 3, 8])("%i: hold each name once, in order, by token and by marker", async (MaxKeys) => {
    const aws = own.aws();
    for (const { delimiter: Delimiter, prefix: Prefix } of CASES) {
      const expected = rolledUp(keys, Prefix, Delimiter);
      const what = `prefix ${Prefix}, delimiter ${Delimiter}`;
      const byToken: string[] = [];
      const byMarker: string[] = [];
      const gather = (
        into: string[],
        page: { Contents?: _Object[] | undefined; CommonPrefixes?: CommonPrefix[] | undefined },
      ) => {
        const names = [
          ...(page.Contents ?? []).map((o) => o.Key ?? ""),
          ...(page.CommonPrefixes ?? []).map((p) => p.Prefix ?? ""),
        ];
        expect(names.length, what).toBeLessThanOrEqual(MaxKeys);
        into.push(...inOrder(names));
      };
      for (let ContinuationToken: string | undefined, more = true; more; ) {
        const page = await aws.send(
          new ListObjectsV2Command({ Bucket, Prefix, Delimiter, MaxKeys, ContinuationToken }),
        );
        gather(byToken, page);
        ContinuationToken = page.NextContinuationToken;
        more = page.IsTruncated === true;
      }
      for (let Marker: string | undefined, more = true; more; ) {
        const page = await aws.send(new ListObjectsCommand({ Bucket, Prefix, Delimiter, MaxKeys, Marker }));
        gather(byMarker, page);
        Marker = page.NextMarker;
        more = page.IsTruncated === true;
      }
      expect(byToken, what).toEqual(expected);
      expect(byMarker, what).toEqual(expected);
    }
  });

  it("begin behind any marker, a key or not", async () => {
    const aws = own.aws();
    const sorted = inOrder(keys);
    for (const marker of [...sorted.filter((_, i) => i % 3 === 0), "0", "ab!", "d/0", "d/zz", "é/", "\u{10ffff}"]) {
      const expected = sorted.filter((key) => Buffer.compare(Buffer.from(key), Buffer.from(marker)) > 0);
      const v2 = await aws.send(new ListObjectsV2Command({ Bucket, StartAfter: marker }));
      const v1 = await aws.send(new ListObjectsCommand({ Bucket, Marker: marker }));
      for (const { Contents = [] } of [v1, v2])
        expect(
          Contents.map((o) => o.Key),
          marker,
        ).toEqual(expected);
    }
  });
});
