/** As much of JSON Schema (draft 2020-12) as this project's schemas use; a keyword that is not known here throws. */

/** What a value has against a schema, each with its place; nothing when it fits. */
export type Problems = readonly string[];

type Json = Readonly<Record<string, unknown>>;

/** These say nothing about values. */
const REMARKS: ReadonlySet<string> = new Set(["$schema", "$defs", "title", "description"]);

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function typeOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return Number.isInteger(value) ? "integer" : typeof value;
}

function hasType(value: unknown, type: unknown): boolean {
  return typeOf(value) === type || (type === "number" && typeof value === "number");
}

export class Schema {
  readonly #root: Json;

  /** @throws {Error} for what is no schema. */
  constructor(root: unknown) {
    if (!isObject(root)) throw new Error("A schema is an object");
    this.#root = root;
  }

  /** The names under $defs. */
  get definitions(): string[] {
    return Object.keys(this.#definitions);
  }

  get #definitions(): Json {
    const { $defs } = this.#root;
    return isObject($defs) ? $defs : {};
  }

  check(value: unknown): Problems {
    return this.#check(value, this.#root, "");
  }

  #check(value: unknown, schema: unknown, place: string): Problems {
    if (!isObject(schema)) throw new Error(`What stands for ${place} is no schema`);
    return Object.entries(schema).flatMap(([keyword, rule]) =>
      REMARKS.has(keyword) ? [] : this.#checkKeyword(value, keyword, rule, schema, place),
    );
  }

  #checkKeyword(value: unknown, keyword: string, rule: unknown, schema: Json, place: string): Problems {
    const unless = (fits: boolean): Problems =>
      fits ? [] : [`${place}: ${JSON.stringify(value)} against ${keyword} ${JSON.stringify(rule)}`];
    switch (keyword) {
      case "$ref":
        return this.#check(value, this.#definitions[String(rule).replace(/^#\/\$defs\//, "")], place);
      case "type":
        return unless([rule].flat().some((type) => hasType(value, type)));
      case "const":
        return unless(value === rule);
      case "enum":
        return unless([rule].flat().includes(value));
      case "minimum":
        return unless(typeof value !== "number" || value >= Number(rule));
      case "maximum":
        return unless(typeof value !== "number" || value <= Number(rule));
      case "pattern":
        return unless(typeof value !== "string" || new RegExp(String(rule), "u").test(value));
      case "oneOf":
        return this.#checkOneOf(value, rule, place);
      case "required":
        return unless(!isObject(value) || [rule].flat().every((name) => Object.hasOwn(value, String(name))));
      case "additionalProperties": {
        if (rule !== false) throw new Error("additionalProperties is only known as false");
        const known = isObject(schema["properties"]) ? schema["properties"] : {};
        return unless(!isObject(value) || Object.keys(value).every((name) => Object.hasOwn(known, name)));
      }
      case "properties":
        return isObject(value) && isObject(rule)
          ? Object.entries(rule).flatMap(([name, one]) =>
              Object.hasOwn(value, name) ? this.#check(value[name], one, `${place}/${name}`) : [],
            )
          : [];
      default:
        throw new Error(`The keyword ${keyword} is not known`);
    }
  }

  #checkOneOf(value: unknown, rule: unknown, place: string): Problems {
    const found = [rule].flat().map((schema) => this.#check(value, schema, place));
    const fitting = found.filter((problems) => problems.length === 0).length;
    if (fitting === 1) return [];
    // The one that fits best is the one that was meant.
    const best = found.toSorted((one, other) => one.length - other.length)[0] ?? [];
    return fitting === 0 ? best : [`${place}: ${fitting} of oneOf fit`];
  }
}
