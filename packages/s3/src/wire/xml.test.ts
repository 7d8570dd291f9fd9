import { describe, expect, it } from "vitest";
import { childrenNamed, childText, parseXml, writeXml, XmlError } from "./xml.ts";

describe("XML", () => {
  it("reads elements, text, entities, CDATA, comments, namespaces", () => {
    const root = parseXml(
      '<?xml version="1.0"?>\n<a xmlns="urn:x"><!-- c --><ns:b>1 &lt; 2 &amp; &#x41;&#66;</ns:b><b><![CDATA[<raw>]]></b><c/></a>',
    );
    expect(childrenNamed(root, "b").map((b) => b.text)).toEqual(["1 < 2 & AB", "<raw>"]);
    expect(childText(root, "c")).toBe("");
    expect(childText(root, "d")).toBeUndefined();
  });

  it.each([
    ["a document type", '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'],
    ["an unknown entity", "<a>&b;</a>"],
    ["crossed tags", "<a><b></a></b>"],
    ["an open tag", "<a><b></b>"],
    ["two roots", "<a/><b/>"],
    ["nothing", ""],
    ["bare text", "hello"],
    ["a surrogate", "<a>&#xd800;</a>"],
    ["a deep nest", "<a>".repeat(100) + "</a>".repeat(100)],
  ])("refuses %s", (_, text) => {
    expect(() => parseXml(text)).toThrow(XmlError);
  });

  it("writes what it reads", () => {
    const text = 'a<b>&"c" \u0001 é😀';
    const xml = writeXml("Root", [
      ["Text", text],
      ["None", undefined],
      ["Item", [[["N", 1]], [["N", 2]]]],
    ]);
    const root = parseXml(xml);
    expect(childText(root, "Text")).toBe(text);
    expect(childrenNamed(root, "Item").map((item) => childText(item, "N"))).toEqual(["1", "2"]);
    expect(xml).not.toContain("None");
  });
});
