import { isUtf8 } from "node:buffer";

/** Percent-encoding exactly as Signature Version 4 wants it: everything but `A-Z a-z 0-9 - . _ ~`. */
export function awsEncode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => "%" + c.charCodeAt(0).toString(16).toUpperCase());
}

/** The same for a path or key: slashes stay. */
export function awsEncodePath(path: string): string {
  return path.split("/").map(awsEncode).join("/");
}

/** Query parameters in the order they came, decoded. */
export type QueryList = readonly (readonly [name: string, value: string])[];

/**
 * Splits a raw query string. A plus sign means a space, as S3 reads it.
 * @throws URIError where an escape is not valid UTF-8
 */
export function parseQuery(raw: string): QueryList {
  if (raw === "") return [];
  return raw
    .split("&")
    .filter((pair) => pair !== "")
    .map((pair) => {
      const eq = pair.indexOf("=");
      const name = eq < 0 ? pair : pair.slice(0, eq);
      const value = eq < 0 ? "" : pair.slice(eq + 1);
      return [decodeURIComponent(name.replaceAll("+", " ")), decodeURIComponent(value.replaceAll("+", " "))] as const;
    });
}

/** The canonical query string: encoded, then sorted by name and value in byte order. */
export function canonicalQuery(query: QueryList): string {
  return query
    .map(([name, value]) => [awsEncode(name), awsEncode(value)] as const)
    .sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : a[1] < b[1] ? -1 : a[1] > b[1] ? 1 : 0))
    .map(([name, value]) => `${name}=${value}`)
    .join("&");
}

/** Text as it goes into a header: one character for each byte of UTF-8, since HTTP gives and takes Latin-1. */
export function headerBytes(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}

/** The text of a header's value: UTF-8 where it is some, else Latin-1. */
export function headerText(value: string): string {
  const bytes = Buffer.from(value, "latin1");
  return isUtf8(bytes) ? bytes.toString("utf8") : value;
}
