import type { z } from "zod";
import type { Place } from "../_kit.ts";

/**
 * A whole value of a schema, every field there, and what may be different in it. What no list names is required, is not
 * null, and takes any value of its type and no other. Places inside of a record's fields need no mention.
 */
export interface Shape {
  name: string;
  schema: z.ZodType;
  example: unknown;
  /** May be absent. */
  optional?: readonly Place[];
  /** May be absent, and is given a value then, which the tests of its noun look at. */
  defaulted?: readonly Place[];
  /** May be null; what is null in the example may be nothing else, unless it stands here with what it may be. */
  nullable?: readonly Place[];
  /** Whole numbers. */
  whole?: readonly Place[];
  /** Texts of a closed list: all of it. */
  choices?: Readonly<Record<Place, readonly string[]>>;
  /** Texts and truths that have one value. */
  fixed?: readonly Place[];
  /** Has rules of its own, which the tests of its noun look at. */
  ruled?: readonly Place[];
  /** One of several forms without a name for each: what is wrong inside is told of the whole. */
  unions?: readonly Place[];
  /** Objects that refuse fields that they do not know; the others drop them. */
  closed?: readonly Place[];
  /** Objects with any names, all with values of one type. */
  records?: readonly Place[];
  /** Anything at all stands here. */
  anything?: readonly Place[];
}
