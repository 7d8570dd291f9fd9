/** One element: its local name, its own text, its children. Attributes are dropped: S3 gives them no meaning. */
export interface XmlElement {
  readonly name: string;
  text: string;
  readonly children: XmlElement[];
}

const MAX_DEPTH = 32;

/** Why a document was refused. */
export class XmlError extends Error {
  override readonly name = "XmlError";
}

const ENTITIES: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

function decodeEntities(text: string): string {
  if (!text.includes("&")) return text;
  return text.replace(/&(#x[0-9a-f]{1,6}|#\d{1,7}|\w{1,8});/gi, (_, body: string) => {
    if (body.startsWith("#")) {
      const code = body[1] === "x" || body[1] === "X" ? Number.parseInt(body.slice(2), 16) : Number(body.slice(1));
      if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) throw new XmlError("character reference out of range");
      return String.fromCodePoint(code);
    }
    const known = ENTITIES[body];
    if (known === undefined) throw new XmlError(`unknown entity &${body};`);
    return known;
  });
}

/** Index after `marker`, searched from `from`. */
function after(xml: string, marker: string, from: number): number {
  const at = xml.indexOf(marker, from);
  if (at < 0) throw new XmlError("unexpected end of document");
  return at + marker.length;
}

function localName(tag: string): string {
  const name = /^[^\s/>]+/.exec(tag)?.[0] ?? "";
  if (name === "") throw new XmlError("tag without a name");
  return name.slice(name.indexOf(":") + 1);
}

/**
 * Reads the small XML that S3 speaks. Refuses document types, so no entity can be defined.
 * @throws XmlError
 */
export function parseXml(xml: string): XmlElement {
  const root: XmlElement = { name: "", text: "", children: [] };
  const stack: XmlElement[] = [root];
  let at = xml.charCodeAt(0) === 0xfeff ? 1 : 0;
  while (at < xml.length) {
    const current = stack.at(-1);
    if (!current) throw new XmlError("closing tag without an opening one");
    const open = xml.indexOf("<", at);
    const end = open < 0 ? xml.length : open;
    if (end > at) current.text += decodeEntities(xml.slice(at, end));
    if (open < 0) break;
    at = readMarkup(xml, open, stack);
  }
  const [document] = root.children;
  if (stack.length !== 1 || !document || root.children.length !== 1 || root.text.trim() !== "") {
    throw new XmlError("not one well-formed element");
  }
  return document;
}

function readMarkup(xml: string, open: number, stack: XmlElement[]): number {
  const current = stack.at(-1);
  if (!current) throw new XmlError("closing tag without an opening one");
  if (xml.startsWith("<?", open)) return after(xml, "?>", open);
  if (xml.startsWith("<!--", open)) return after(xml, "-->", open);
  if (xml.startsWith("<![CDATA[", open)) {
    const end = after(xml, "]]>", open);
    current.text += xml.slice(open + 9, end - 3);
    return end;
  }
  if (xml.startsWith("<!", open)) throw new XmlError("document types are not accepted");
  const end = after(xml, ">", open);
  const tag = xml.slice(open + 1, end - 1);
  if (tag.startsWith("/")) {
    if (stack.length < 2 || localName(tag.slice(1)) !== current.name) throw new XmlError("tags do not match");
    stack.pop();
    return end;
  }
  if (stack.length > MAX_DEPTH) throw new XmlError("nested too deeply");
  const element: XmlElement = { name: localName(tag), text: "", children: [] };
  current.children.push(element);
  if (!tag.endsWith("/")) stack.push(element);
  return end;
}

export function child(element: XmlElement, name: string): XmlElement | undefined {
  return element.children.find((c) => c.name === name);
}

export function childText(element: XmlElement, name: string): string | undefined {
  return child(element, name)?.text;
}

export function childrenNamed(element: XmlElement, name: string): XmlElement[] {
  return element.children.filter((c) => c.name === name);
}

/** Text for an element's content. Control characters become references, as S3 itself writes them. */
export function escapeXml(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: keys may hold them, and XML may not hold them raw
  return text.replace(/[&<>"\u0000-\u001f\u007f]/g, (c) => {
    if (c === "&") return "&amp;";
    if (c === "<") return "&lt;";
    if (c === ">") return "&gt;";
    if (c === '"') return "&quot;";
    return `&#x${c.charCodeAt(0).toString(16)};`;
  });
}

/** Content of an element: text, nothing, or child elements in order (a list value repeats the element). */
export type XmlValue = string | number | boolean | undefined | XmlFields | readonly XmlFields[];
export type XmlFields = readonly (readonly [name: string, value: XmlValue])[];

function isFields(value: XmlFields | readonly XmlFields[]): value is XmlFields {
  return value.length === 0 || typeof value[0]?.[0] === "string";
}

function writeField(name: string, value: XmlValue): string {
  if (value === undefined) return "";
  if (typeof value !== "object") return `<${name}>${escapeXml(String(value))}</${name}>`;
  if (isFields(value)) return `<${name}>${writeFields(value)}</${name}>`;
  return value.map((fields) => `<${name}>${writeFields(fields)}</${name}>`).join("");
}

function writeFields(fields: XmlFields): string {
  return fields.map(([name, value]) => writeField(name, value)).join("");
}

export const XML_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n';
export const S3_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/";

/** A whole document. */
export function writeXml(name: string, fields: XmlFields, namespace?: string): string {
  const attribute = namespace === undefined ? "" : ` xmlns="${namespace}"`;
  return `${XML_DECLARATION}<${name}${attribute}>${writeFields(fields)}</${name}>`;
}
