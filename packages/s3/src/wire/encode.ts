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
