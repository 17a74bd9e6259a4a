// Writes src/client/fields.json: the fields of the forms, with the descriptions, defaults and bounds that openapi.json
// gives them, so that a form grows with the API. With --check it only compares.
import { readFileSync, writeFileSync } from "node:fs";

const FORMS = ["RunCreate", "SandboxCreate", "TrainingJobCreate"];
const { schemas } = JSON.parse(readFileSync(new URL("../../openapi.json", import.meta.url), "utf8")).components;
const target = new URL("../src/client/fields.json", import.meta.url);

const text = JSON.stringify(Object.fromEntries(FORMS.map((name) => [name, fieldsOf(schemas[name])])), null, 1) + "\n";
if (!process.argv.includes("--check")) writeFileSync(target, text);
else if (readFileSync(target, "utf8") !== text) {
  console.error("src/client/fields.json is out of date: run `npm run api` in dashboard/");
  process.exit(1);
}

function fieldsOf(schema, prefix = "") {
  const required = new Set(schema.required ?? []);
  return Object.entries(schema.properties).flatMap(([name, property]) => {
    const inner = resolve(property);
    const path = prefix + name;
    if (inner.type === "object" && inner.properties) return fieldsOf(inner, `${path}.`);
    return [fieldOf(path, property, inner, required.has(name))];
  });
}

function fieldOf(path, property, inner, isRequired) {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, type } = inner;
  const choices = inner.const !== undefined ? [inner.const] : inner.enum;
  return {
    path,
    about: property.description ?? inner.description ?? "",
    kind: choices ? "choice" : ["integer", "number", "boolean", "string"].includes(type) ? type : "json",
    ...(choices ? { choices } : {}),
    default: property.default ?? null,
    isRequired,
    ...bounds({ min: minimum ?? exclusiveMinimum, max: maximum ?? exclusiveMaximum }),
  };
}

/** A reference followed, and "or null" taken off. */
function resolve(property) {
  if (property.$ref) return resolve(schemas[property.$ref.split("/").at(-1)]);
  const options = (property.anyOf ?? []).filter((option) => option.type !== "null");
  return options.length === 1 ? resolve(options[0]) : property.allOf?.length === 1 ? resolve(property.allOf[0]) : property;
}

function bounds(values) {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}
